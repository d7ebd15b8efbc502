//! Numbers and amounts of money.

use fixed_decimal::{Decimal, Sign, SignedRoundingMode, UnsignedRoundingMode};
use icu_decimal::DecimalFormatter;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;

use super::Locale;

/// Most decimals that a number may be rounded to.
const MAX_DECIMALS: u8 = 30;

const HALF_AWAY_FROM_ZERO: SignedRoundingMode =
    SignedRoundingMode::Unsigned(UnsignedRoundingMode::HalfExpand);

impl Locale {
    /// Formats a decimal number with grouping; `decimals` rounds half away from zero, as
    /// PostgreSQL's `round(numeric)` does; without it all digits stay.
    pub fn format_number(&self, value: &str, decimals: Option<u8>) -> Result<String, String> {
        let mut number = parse(value)?;
        if let Some(decimals) = decimals {
            let decimals = i16::from(decimals.min(MAX_DECIMALS));
            number.round_with_mode(-decimals, HALF_AWAY_FROM_ZERO);
            number.absolute.trim_end();
            number.absolute.pad_end(-decimals);
        }
        // Nobody writes a sign before zero.
        if number.absolute.is_zero() {
            number.sign = Sign::None;
        }
        let formatter = DecimalFormatter::try_new((&self.icu).into(), Default::default())
            .map_err(|error| error.to_string())?;
        Ok(formatter.format(&number).to_string())
    }

    /// Formats an amount of money; `currency` is an ISO 4217 code, which also gives the number of decimals.
    pub fn format_currency(&self, value: &str, currency: &str) -> Result<String, String> {
        let number = parse(value)?;
        let code = CurrencyType::try_from_str(currency)
            .map_err(|_| format!("currency {currency:?} is no ISO 4217 code"))?;
        let formatter = CurrencyFormatter::<DecimalFormatter>::try_new_symbol(
            (&self.icu).into(),
            code,
            Default::default(),
        )
        .map_err(|error| error.to_string())?;
        let format = |number: &Decimal| formatter.format_fixed_decimal(number).to_string();
        if number.sign == Sign::Negative {
            // The formatter rounds, and would leave the sign before a zero.
            let zero = format(&Decimal::from(0));
            if format(&number.clone().with_sign(Sign::None)) == zero {
                return Ok(zero);
            }
        }
        Ok(format(&number))
    }
}

fn parse(value: &str) -> Result<Decimal, String> {
    value
        .parse::<Decimal>()
        .map_err(|_| "no decimal number".to_owned())
}
