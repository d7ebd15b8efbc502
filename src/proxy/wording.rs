//! The words of the unsubscribe page, in each language that it speaks.

/// What the page says in one language. `{}` stands for the name of the scenario.
pub struct Wording {
    /// BCP 47, for the `lang` attribute.
    pub language: &'static str,
    pub right_to_left: bool,
    pub title: &'static str,
    pub question: &'static str,
    pub button: &'static str,
    pub done: &'static str,
    /// Said under `done`, and under `already`.
    pub effect: &'static str,
    pub already: &'static str,
    /// For a link that leads nowhere.
    pub not_found: &'static str,
    pub check_link: &'static str,
    /// While the database is away.
    pub unavailable: &'static str,
    pub try_later: &'static str,
}

const WORDINGS: [Wording; 9] = [
    Wording {
        language: "en",
        right_to_left: false,
        title: "Unsubscribe",
        question: "Would you like to stop receiving e-mails from “{}”?",
        button: "Unsubscribe",
        done: "You have been unsubscribed",
        effect: "You will receive no more e-mails from “{}”.",
        already: "You are already unsubscribed",
        not_found: "This link is not valid",
        check_link: "Please open the link in the e-mail again, or copy the whole of it.",
        unavailable: "Not available at the moment",
        try_later: "Please try again in a few minutes.",
    },
    Wording {
        language: "fr",
        right_to_left: false,
        title: "Se désabonner",
        question: "Souhaitez-vous ne plus recevoir d’e-mails de « {} » ?",
        button: "Me désabonner",
        done: "Votre désabonnement est enregistré",
        effect: "Vous ne recevrez plus d’e-mails de « {} ».",
        already: "Vous êtes déjà désabonné(e)",
        not_found: "Ce lien n’est pas valide",
        check_link: "Veuillez rouvrir le lien depuis l’e-mail ou le copier en entier.",
        unavailable: "Momentanément indisponible",
        try_later: "Veuillez réessayer dans quelques minutes.",
    },
    Wording {
        language: "de",
        right_to_left: false,
        title: "Abmelden",
        question: "Möchten Sie keine E-Mails von „{}“ mehr erhalten?",
        button: "Abmelden",
        done: "Sie sind abgemeldet",
        effect: "Sie erhalten keine E-Mails von „{}“ mehr.",
        already: "Sie sind bereits abgemeldet",
        not_found: "Dieser Link ist ungültig",
        check_link: "Bitte öffnen Sie den Link in der E-Mail noch einmal oder kopieren Sie ihn vollständig.",
        unavailable: "Zurzeit nicht verfügbar",
        try_later: "Bitte versuchen Sie es in einigen Minuten noch einmal.",
    },
    Wording {
        language: "es",
        right_to_left: false,
        title: "Cancelar la suscripción",
        question: "¿Desea dejar de recibir correos electrónicos de «{}»?",
        button: "Cancelar la suscripción",
        done: "Su suscripción se ha cancelado",
        effect: "No recibirá más correos electrónicos de «{}».",
        already: "Su suscripción ya estaba cancelada",
        not_found: "Este enlace no es válido",
        check_link: "Vuelva a abrir el enlace del correo electrónico o cópielo completo.",
        unavailable: "No disponible en este momento",
        try_later: "Inténtelo de nuevo dentro de unos minutos.",
    },
    Wording {
        language: "it",
        right_to_left: false,
        title: "Annulla iscrizione",
        question: "Desidera non ricevere più e-mail da «{}»?",
        button: "Annulla iscrizione",
        done: "La sua iscrizione è stata annullata",
        effect: "Non riceverà più e-mail da «{}».",
        already: "La sua iscrizione è già stata annullata",
        not_found: "Questo link non è valido",
        check_link: "Apra di nuovo il link nell’e-mail o lo copi per intero.",
        unavailable: "Al momento non disponibile",
        try_later: "Riprovi tra qualche minuto.",
    },
    Wording {
        language: "nl",
        right_to_left: false,
        title: "Uitschrijven",
        question: "Wilt u geen e-mails meer ontvangen van ‘{}’?",
        button: "Uitschrijven",
        done: "U bent uitgeschreven",
        effect: "U ontvangt geen e-mails meer van ‘{}’.",
        already: "U bent al uitgeschreven",
        not_found: "Deze link is niet geldig",
        check_link: "Open de link in de e-mail opnieuw of kopieer hem volledig.",
        unavailable: "Op dit moment niet beschikbaar",
        try_later: "Probeer het over enkele minuten opnieuw.",
    },
    Wording {
        language: "pt",
        right_to_left: false,
        title: "Cancelar a subscrição",
        question: "Deseja deixar de receber e-mails de “{}”?",
        button: "Cancelar a subscrição",
        done: "A sua subscrição foi cancelada",
        effect: "Não receberá mais e-mails de “{}”.",
        already: "A sua subscrição já estava cancelada",
        not_found: "Esta ligação não é válida",
        check_link: "Abra novamente a ligação no e-mail ou copie-a por inteiro.",
        unavailable: "Indisponível de momento",
        try_later: "Tente novamente dentro de alguns minutos.",
    },
    Wording {
        language: "pl",
        right_to_left: false,
        title: "Rezygnacja z subskrypcji",
        question: "Czy chcesz przestać otrzymywać wiadomości e-mail z listy „{}”?",
        button: "Wypisz mnie",
        done: "Subskrypcja została anulowana",
        effect: "Nie otrzymasz już wiadomości e-mail z listy „{}”.",
        already: "Subskrypcja została już wcześniej anulowana",
        not_found: "Ten link jest nieprawidłowy",
        check_link: "Otwórz ponownie link z wiadomości e-mail lub skopiuj go w całości.",
        unavailable: "Chwilowo niedostępne",
        try_later: "Spróbuj ponownie za kilka minut.",
    },
    Wording {
        language: "ar",
        right_to_left: true,
        title: "إلغاء الاشتراك",
        question: "هل ترغب في التوقف عن تلقي الرسائل الإلكترونية من «{}»؟",
        button: "إلغاء الاشتراك",
        done: "تم إلغاء اشتراكك",
        effect: "لن تصلك أي رسائل إلكترونية أخرى من «{}».",
        already: "سبق أن تم إلغاء اشتراكك",
        not_found: "هذا الرابط غير صالح",
        check_link: "يرجى فتح الرابط من الرسالة الإلكترونية مرة أخرى أو نسخه كاملاً.",
        unavailable: "غير متاح حاليًا",
        try_later: "يرجى المحاولة مرة أخرى بعد بضع دقائق.",
    },
];

/// Returns the words for a recipient's language, such as `fr`, `fr-CA` or `fr_CA`; English when it is none of ours.
pub fn wording(language: Option<&str>) -> &'static Wording {
    let primary = language
        .unwrap_or_default()
        .split(['-', '_', '.', '@'])
        .next()
        .unwrap_or_default();
    WORDINGS
        .iter()
        .find(|wording| wording.language.eq_ignore_ascii_case(primary.trim()))
        .unwrap_or(&WORDINGS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_subtag_decides() {
        for (language, chosen) in [
            ("fr", "fr"),
            ("fr-CA", "fr"),
            ("PT_br", "pt"),
            ("de_DE.UTF-8", "de"),
            ("ar", "ar"),
            ("frr", "en"),
            ("ja", "en"),
            ("", "en"),
            ("<script>", "en"),
        ] {
            assert_eq!(wording(Some(language)).language, chosen, "{language}");
        }
        assert_eq!(wording(None).language, "en");
    }

    #[test]
    fn every_language_names_the_scenario_once() {
        for wording in &WORDINGS {
            for text in [wording.question, wording.effect] {
                assert_eq!(text.matches("{}").count(), 1, "{text}");
            }
            for text in [
                wording.title,
                wording.button,
                wording.done,
                wording.already,
                wording.not_found,
                wording.check_link,
                wording.unavailable,
                wording.try_later,
            ] {
                assert!(
                    !text.is_empty() && !text.contains(['{', '<', '&']),
                    "{text}"
                );
            }
        }
    }
}
