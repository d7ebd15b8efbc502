//! The pages about topics: what a reader may choose, and what they confirm.

use html_escape::encode_quoted_attribute as escape;

use super::{Page, page, way_back};
use crate::proxy::database::{Choice, Confirmation, Subscription};
use crate::proxy::form::{ACTION, SAVE, SCOPE, SCOPE_EVERYTHING, SHOWN, TOPIC, UNDO};
use crate::proxy::pages::{PageName, Pages, Words};
use crate::proxy::texts::Text;

/// The topics to choose from. changed: those for which what was just saved is news, to take back; `None`: nothing was saved.
pub fn preferences(pages: &Pages, subscription: &Subscription, changed: Option<&[String]>) -> Page {
    let words = pages.words(subscription.language.as_deref());
    let (text, form) = if subscription.everything {
        // What is chosen counts for nothing until that is taken back.
        (Some(Text::EffectEverything), way_back(words, subscription))
    } else {
        let mut forms = choices(words, &subscription.choices);
        forms += &undo(words, changed.unwrap_or_default());
        forms += &format!(
            "<form method=\"post\">\n<button class=\"quiet\" type=\"submit\" name=\"{SCOPE}\" value=\"{SCOPE_EVERYTHING}\">{}</button>\n</form>\n",
            escape(words.get(Text::LeaveEverything))
        );
        (changed.map(|_| Text::Saved), forms)
    };
    page(
        pages,
        PageName::Preferences,
        words,
        subscription,
        Text::Preferences,
        text,
        &form,
    )
}

/// What the link in a mail that asks for confirmation opens, and what follows.
pub fn confirmation(pages: &Pages, confirmation: &Confirmation) -> Page {
    let words = pages.words(confirmation.language.as_deref());
    let about = Subscription {
        language: confirmation.language.clone(),
        scenario: confirmation.title.clone(),
        is_titled: true,
        sender: confirmation.sender.clone(),
        has_party: true,
        unsubscribed: false,
        everything: false,
        choices: Vec::new(),
    };
    if confirmation.is_confirmed {
        let effect = Some(Text::ConfirmedEffect);
        return page(
            pages,
            PageName::Confirmed,
            words,
            &about,
            Text::Confirmed,
            effect,
            "",
        );
    }
    let form = format!(
        "<form method=\"post\">\n<button type=\"submit\">{}</button>\n</form>\n",
        escape(words.get(Text::ConfirmButton))
    );
    page(
        pages,
        PageName::Confirm,
        words,
        &about,
        Text::Confirm,
        Some(Text::ConfirmQuestion),
        &form,
    )
}

/// The form with a box for each topic. It says which ones it has shown: of those that are made meanwhile nothing is chosen.
fn choices(words: Words, choices: &[Choice]) -> String {
    let boxes: String = choices
        .iter()
        .map(|choice| {
            let checked = match choice.is_wanted || choice.is_pending {
                true => " checked",
                false => "",
            };
            let note = match choice.is_pending {
                true => format!("<br><small>{}</small>", escape(words.get(Text::Pending))),
                false => String::new(),
            };
            let topic = escape(&choice.topic);
            format!(
                "<label><input type=\"checkbox\" name=\"{TOPIC}\" value=\"{topic}\"{checked}><span><bdi>{}</bdi>{note}</span></label>\n\
                 <input type=\"hidden\" name=\"{SHOWN}\" value=\"{topic}\">\n",
                escape(&choice.title)
            )
        })
        .collect();
    format!(
        "<form method=\"post\">\n<fieldset>\n<legend>{}</legend>\n{boxes}</fieldset>\n\
         <button type=\"submit\" name=\"{ACTION}\" value=\"{SAVE}\">{}</button>\n</form>\n",
        escape(words.get(Text::Choose)),
        escape(words.get(Text::Save))
    )
}

fn undo(words: Words, changed: &[String]) -> String {
    if changed.is_empty() {
        return String::new();
    }
    let topics: String = changed
        .iter()
        .map(|topic| {
            format!(
                "<input type=\"hidden\" name=\"{TOPIC}\" value=\"{}\">\n",
                escape(topic)
            )
        })
        .collect();
    format!(
        "<form method=\"post\">\n{topics}<button class=\"quiet\" type=\"submit\" name=\"{ACTION}\" value=\"{UNDO}\">{}</button>\n</form>\n",
        escape(words.get(Text::Undo))
    )
}
