//! The texts of the built-in pages, in each language that is shipped.

macro_rules! texts {
    ($($(#[$doc:meta])* $variant:ident = $field:ident,)+) => {
        /// A text of the built-in pages, by what it says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Text {
            $($(#[$doc])* $variant,)+
        }

        impl Text {
            pub const ALL: &'static [Text] = &[$(Text::$variant),+];

            /// The value of `page_text.name`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Text::$variant => stringify!($field),)+
                }
            }
        }

        /// All texts in one language. `{}` stands for the title of the scenario.
        pub struct Texts {
            /// BCP 47.
            pub language: &'static str,
            $($field: &'static str,)+
        }

        impl Texts {
            pub fn text(&self, text: Text) -> &'static str {
                match text {
                    $(Text::$variant => self.$field,)+
                }
            }
        }
    };
}

impl Text {
    /// What is said instead of a text that names the scenario, where that has no title.
    pub fn untitled(self) -> Option<Self> {
        match self {
            Self::Question => Some(Self::QuestionUntitled),
            Self::ThisKind => Some(Self::ThisKindUntitled),
            Self::Effect => Some(Self::EffectUntitled),
            Self::ResubscribedEffect => Some(Self::ResubscribedEffectUntitled),
            _ => None,
        }
    }
}

texts! {
    Title = title,
    /// Asked of a reader who has no choice: of whom no party is known.
    Question = question,
    QuestionUntitled = question_untitled,
    /// Asked over the choice between the next two.
    Which = which,
    ThisKind = this_kind,
    ThisKindUntitled = this_kind_untitled,
    Everything = everything,
    Button = button,
    Done = done,
    /// Said under `Done` and `Already`.
    Effect = effect,
    EffectUntitled = effect_untitled,
    EffectEverything = effect_everything,
    Already = already,
    /// Asked over the button `Again`.
    Mistake = mistake,
    Again = again,
    /// The button of a reader who has left one kind only.
    LeaveEverything = leave_everything,
    Resubscribed = resubscribed,
    ResubscribedEffect = resubscribed_effect,
    ResubscribedEffectUntitled = resubscribed_effect_untitled,
    /// The heading of the page on which topics are chosen.
    Preferences = preferences,
    /// Asked over the topics.
    Choose = choose,
    Save = save,
    Saved = saved,
    Undo = undo,
    /// Said of a topic that is asked for and not confirmed.
    Pending = pending,
    /// The heading of the page that confirms a subscription.
    Confirm = confirm,
    ConfirmQuestion = confirm_question,
    ConfirmButton = confirm_button,
    Confirmed = confirmed,
    ConfirmedEffect = confirmed_effect,
    /// For a link that leads nowhere.
    NotFound = not_found,
    CheckLink = check_link,
    /// While the database is away.
    Unavailable = unavailable,
    TryLater = try_later,
}

pub const TEXTS: [Texts; 10] = [
    Texts {
        language: "en",
        title: "Unsubscribe",
        question: "Would you like to stop receiving e-mails from “{}”?",
        question_untitled: "Would you like to stop receiving e-mails like this one?",
        which: "Which e-mails do you no longer want?",
        this_kind: "Those from “{}”",
        this_kind_untitled: "E-mails like this one",
        everything: "All of our e-mails",
        button: "Unsubscribe",
        done: "You have been unsubscribed",
        effect: "You will receive no more e-mails from “{}”.",
        effect_untitled: "You will receive no more e-mails like this one.",
        effect_everything: "You will receive no more e-mails from us.",
        already: "You are already unsubscribed",
        mistake: "Was that a mistake?",
        again: "Subscribe again",
        leave_everything: "Unsubscribe from everything",
        resubscribed: "You are subscribed again",
        resubscribed_effect: "You will go on receiving e-mails from “{}”.",
        resubscribed_effect_untitled: "You will go on receiving e-mails like this one.",
        preferences: "Your e-mail preferences",
        choose: "Which e-mails would you like to receive?",
        save: "Save",
        saved: "Your choice has been saved.",
        undo: "Undo",
        pending: "Not confirmed yet: please look into your mailbox.",
        confirm: "Confirm your subscription",
        confirm_question: "Would you like to receive e-mails from “{}”?",
        confirm_button: "Confirm",
        confirmed: "Your subscription is confirmed",
        confirmed_effect: "You will receive e-mails from “{}”.",
        not_found: "This link is not valid",
        check_link: "Please open the link in the e-mail again, or copy the whole of it.",
        unavailable: "Not available at the moment",
        try_later: "Please try again in a few minutes.",
    },
    Texts {
        language: "fr",
        title: "Se désabonner",
        question: "Souhaitez-vous ne plus recevoir d’e-mails de «\u{a0}{}\u{a0}»\u{202f}?",
        question_untitled: "Souhaitez-vous ne plus recevoir d’e-mails de ce type\u{202f}?",
        which: "Quels e-mails ne souhaitez-vous plus recevoir\u{202f}?",
        this_kind: "Ceux de «\u{a0}{}\u{a0}»",
        this_kind_untitled: "Les e-mails de ce type",
        everything: "Tous nos e-mails",
        button: "Me désabonner",
        done: "Votre désabonnement est enregistré",
        effect: "Vous ne recevrez plus d’e-mails de «\u{a0}{}\u{a0}».",
        effect_untitled: "Vous ne recevrez plus d’e-mails de ce type.",
        effect_everything: "Vous ne recevrez plus aucun e-mail de notre part.",
        already: "Vous êtes déjà désabonné(e)",
        mistake: "C’était une erreur\u{202f}?",
        again: "Me réabonner",
        leave_everything: "Me désabonner de tout",
        resubscribed: "Vous êtes de nouveau abonné(e)",
        resubscribed_effect: "Vous continuerez à recevoir des e-mails de «\u{a0}{}\u{a0}».",
        resubscribed_effect_untitled: "Vous continuerez à recevoir des e-mails de ce type.",
        preferences: "Vos préférences d’e-mails",
        choose: "Quels e-mails souhaitez-vous recevoir\u{202f}?",
        save: "Enregistrer",
        saved: "Votre choix a été enregistré.",
        undo: "Annuler la modification",
        pending: "Pas encore confirmé\u{a0}: veuillez consulter votre boîte aux lettres.",
        confirm: "Confirmez votre abonnement",
        confirm_question: "Souhaitez-vous recevoir les e-mails de «\u{a0}{}\u{a0}»\u{202f}?",
        confirm_button: "Confirmer",
        confirmed: "Votre abonnement est confirmé",
        confirmed_effect: "Vous recevrez les e-mails de «\u{a0}{}\u{a0}».",
        not_found: "Ce lien n’est pas valide",
        check_link: "Veuillez rouvrir le lien depuis l’e-mail ou le copier en entier.",
        unavailable: "Momentanément indisponible",
        try_later: "Veuillez réessayer dans quelques minutes.",
    },
    Texts {
        language: "de",
        title: "Abmelden",
        question: "Möchten Sie keine E-Mails von „{}“ mehr erhalten?",
        question_untitled: "Möchten Sie keine E-Mails dieser Art mehr erhalten?",
        which: "Welche E-Mails möchten Sie nicht mehr erhalten?",
        this_kind: "Die von „{}“",
        this_kind_untitled: "E-Mails dieser Art",
        everything: "Alle unsere E-Mails",
        button: "Abmelden",
        done: "Sie sind abgemeldet",
        effect: "Sie erhalten keine E-Mails von „{}“ mehr.",
        effect_untitled: "Sie erhalten keine E-Mails dieser Art mehr.",
        effect_everything: "Sie erhalten keine E-Mails mehr von uns.",
        already: "Sie sind bereits abgemeldet",
        mistake: "War das ein Versehen?",
        again: "Wieder anmelden",
        leave_everything: "Von allem abmelden",
        resubscribed: "Sie sind wieder angemeldet",
        resubscribed_effect: "Sie erhalten weiterhin E-Mails von „{}“.",
        resubscribed_effect_untitled: "Sie erhalten weiterhin E-Mails dieser Art.",
        preferences: "Ihre E-Mail-Einstellungen",
        choose: "Welche E-Mails möchten Sie erhalten?",
        save: "Speichern",
        saved: "Ihre Auswahl wurde gespeichert.",
        undo: "Rückgängig machen",
        pending: "Noch nicht bestätigt: Bitte sehen Sie in Ihr Postfach.",
        confirm: "Bestätigen Sie Ihre Anmeldung",
        confirm_question: "Möchten Sie E-Mails von „{}“ erhalten?",
        confirm_button: "Bestätigen",
        confirmed: "Ihre Anmeldung ist bestätigt",
        confirmed_effect: "Sie erhalten E-Mails von „{}“.",
        not_found: "Dieser Link ist ungültig",
        check_link: "Bitte öffnen Sie den Link in der E-Mail noch einmal oder kopieren Sie ihn vollständig.",
        unavailable: "Zurzeit nicht verfügbar",
        try_later: "Bitte versuchen Sie es in einigen Minuten noch einmal.",
    },
    Texts {
        language: "es",
        title: "Cancelar la suscripción",
        question: "¿Desea dejar de recibir correos electrónicos de «{}»?",
        question_untitled: "¿Desea dejar de recibir correos electrónicos de este tipo?",
        which: "¿Qué correos electrónicos no desea recibir más?",
        this_kind: "Los de «{}»",
        this_kind_untitled: "Los correos de este tipo",
        everything: "Todos nuestros correos electrónicos",
        button: "Cancelar la suscripción",
        done: "Su suscripción se ha cancelado",
        effect: "No recibirá más correos electrónicos de «{}».",
        effect_untitled: "Ya no recibirá correos electrónicos de este tipo.",
        effect_everything: "No recibirá más correos electrónicos nuestros.",
        already: "Su suscripción ya estaba cancelada",
        mistake: "¿Ha sido un error?",
        again: "Volver a suscribirme",
        leave_everything: "Cancelar todas las suscripciones",
        resubscribed: "Su suscripción está activa de nuevo",
        resubscribed_effect: "Seguirá recibiendo correos electrónicos de «{}».",
        resubscribed_effect_untitled: "Seguirá recibiendo correos electrónicos de este tipo.",
        preferences: "Sus preferencias de correo",
        choose: "¿Qué correos desea recibir?",
        save: "Guardar",
        saved: "Su elección se ha guardado.",
        undo: "Deshacer",
        pending: "Aún no confirmado: consulte su buzón.",
        confirm: "Confirme su suscripción",
        confirm_question: "¿Desea recibir correos de «{}»?",
        confirm_button: "Confirmar",
        confirmed: "Su suscripción está confirmada",
        confirmed_effect: "Recibirá correos de «{}».",
        not_found: "Este enlace no es válido",
        check_link: "Vuelva a abrir el enlace del correo electrónico o cópielo completo.",
        unavailable: "No disponible en este momento",
        try_later: "Inténtelo de nuevo dentro de unos minutos.",
    },
    Texts {
        language: "it",
        title: "Annulla iscrizione",
        question: "Desidera non ricevere più e-mail da «{}»?",
        question_untitled: "Desidera non ricevere più e-mail di questo tipo?",
        which: "Quali e-mail non desidera più ricevere?",
        this_kind: "Quelle di «{}»",
        this_kind_untitled: "Le e-mail di questo tipo",
        everything: "Tutte le nostre e-mail",
        button: "Annulla iscrizione",
        done: "La sua iscrizione è stata annullata",
        effect: "Non riceverà più e-mail da «{}».",
        effect_untitled: "Non riceverà più e-mail di questo tipo.",
        effect_everything: "Non riceverà più nessuna e-mail da noi.",
        already: "La sua iscrizione è già stata annullata",
        mistake: "È stato un errore?",
        again: "Iscriviti di nuovo",
        leave_everything: "Annulla tutte le iscrizioni",
        resubscribed: "La sua iscrizione è di nuovo attiva",
        resubscribed_effect: "Continuerà a ricevere e-mail da «{}».",
        resubscribed_effect_untitled: "Continuerà a ricevere e-mail di questo tipo.",
        preferences: "Le sue preferenze e-mail",
        choose: "Quali e-mail desidera ricevere?",
        save: "Salva",
        saved: "La sua scelta è stata salvata.",
        undo: "Annulla la modifica",
        pending: "Non ancora confermato: controlli la sua casella di posta.",
        confirm: "Confermi la sua iscrizione",
        confirm_question: "Desidera ricevere le e-mail di «{}»?",
        confirm_button: "Conferma",
        confirmed: "La sua iscrizione è confermata",
        confirmed_effect: "Riceverà le e-mail di «{}».",
        not_found: "Questo link non è valido",
        check_link: "Apra di nuovo il link nell’e-mail o lo copi per intero.",
        unavailable: "Al momento non disponibile",
        try_later: "Riprovi tra qualche minuto.",
    },
    Texts {
        language: "nl",
        title: "Uitschrijven",
        question: "Wilt u geen e-mails meer ontvangen van ‘{}’?",
        question_untitled: "Wilt u geen e-mails van dit soort meer ontvangen?",
        which: "Welke e-mails wilt u niet meer ontvangen?",
        this_kind: "Die van ‘{}’",
        this_kind_untitled: "E-mails van dit soort",
        everything: "Al onze e-mails",
        button: "Uitschrijven",
        done: "U bent uitgeschreven",
        effect: "U ontvangt geen e-mails meer van ‘{}’.",
        effect_untitled: "U ontvangt geen e-mails van dit soort meer.",
        effect_everything: "U ontvangt geen e-mails meer van ons.",
        already: "U bent al uitgeschreven",
        mistake: "Was dit een vergissing?",
        again: "Opnieuw inschrijven",
        leave_everything: "Uitschrijven voor alles",
        resubscribed: "U bent weer ingeschreven",
        resubscribed_effect: "U blijft e-mails ontvangen van ‘{}’.",
        resubscribed_effect_untitled: "U blijft e-mails van dit soort ontvangen.",
        preferences: "Uw e-mailvoorkeuren",
        choose: "Welke e-mails wilt u ontvangen?",
        save: "Opslaan",
        saved: "Uw keuze is opgeslagen.",
        undo: "Ongedaan maken",
        pending: "Nog niet bevestigd: kijk in uw mailbox.",
        confirm: "Bevestig uw aanmelding",
        confirm_question: "Wilt u e-mails van ‘{}’ ontvangen?",
        confirm_button: "Bevestigen",
        confirmed: "Uw aanmelding is bevestigd",
        confirmed_effect: "U ontvangt e-mails van ‘{}’.",
        not_found: "Deze link is niet geldig",
        check_link: "Open de link in de e-mail opnieuw of kopieer hem volledig.",
        unavailable: "Op dit moment niet beschikbaar",
        try_later: "Probeer het over enkele minuten opnieuw.",
    },
    Texts {
        language: "pt",
        title: "Cancelar a subscrição",
        question: "Deseja deixar de receber e-mails de “{}”?",
        question_untitled: "Deseja deixar de receber e-mails deste tipo?",
        which: "Que e-mails já não deseja receber?",
        this_kind: "Os de “{}”",
        this_kind_untitled: "Os e-mails deste tipo",
        everything: "Todos os nossos e-mails",
        button: "Cancelar a subscrição",
        done: "A sua subscrição foi cancelada",
        effect: "Não receberá mais e-mails de “{}”.",
        effect_untitled: "Não receberá mais e-mails deste tipo.",
        effect_everything: "Não receberá mais e-mails nossos.",
        already: "A sua subscrição já estava cancelada",
        mistake: "Foi um engano?",
        again: "Voltar a subscrever",
        leave_everything: "Cancelar todas as subscrições",
        resubscribed: "A sua subscrição está novamente ativa",
        resubscribed_effect: "Continuará a receber e-mails de “{}”.",
        resubscribed_effect_untitled: "Continuará a receber e-mails deste tipo.",
        preferences: "As suas preferências de e-mail",
        choose: "Que e-mails deseja receber?",
        save: "Guardar",
        saved: "A sua escolha foi guardada.",
        undo: "Anular",
        pending: "Ainda não confirmado: veja a sua caixa de correio.",
        confirm: "Confirme a sua subscrição",
        confirm_question: "Deseja receber e-mails de «{}»?",
        confirm_button: "Confirmar",
        confirmed: "A sua subscrição está confirmada",
        confirmed_effect: "Receberá e-mails de «{}».",
        not_found: "Esta ligação não é válida",
        check_link: "Abra novamente a ligação no e-mail ou copie-a por inteiro.",
        unavailable: "Indisponível de momento",
        try_later: "Tente novamente dentro de alguns minutos.",
    },
    Texts {
        language: "pt-BR",
        title: "Cancelar inscrição",
        question: "Você quer parar de receber e-mails de “{}”?",
        question_untitled: "Você quer parar de receber e-mails como este?",
        which: "Quais e-mails você não quer mais receber?",
        this_kind: "Os de “{}”",
        this_kind_untitled: "E-mails como este",
        everything: "Todos os nossos e-mails",
        button: "Cancelar inscrição",
        done: "Sua inscrição foi cancelada",
        effect: "Você não receberá mais e-mails de “{}”.",
        effect_untitled: "Você não receberá mais e-mails como este.",
        effect_everything: "Você não receberá mais nenhum e-mail nosso.",
        already: "Sua inscrição já estava cancelada",
        mistake: "Foi um engano?",
        again: "Inscrever-se novamente",
        leave_everything: "Cancelar todas as inscrições",
        resubscribed: "Sua inscrição está ativa novamente",
        resubscribed_effect: "Você continuará recebendo e-mails de “{}”.",
        resubscribed_effect_untitled: "Você continuará recebendo e-mails como este.",
        preferences: "Suas preferências de e-mail",
        choose: "Quais e-mails você quer receber?",
        save: "Salvar",
        saved: "Sua escolha foi salva.",
        undo: "Desfazer",
        pending: "Ainda não confirmado: veja sua caixa de entrada.",
        confirm: "Confirme sua inscrição",
        confirm_question: "Você quer receber e-mails de “{}”?",
        confirm_button: "Confirmar",
        confirmed: "Sua inscrição está confirmada",
        confirmed_effect: "Você receberá e-mails de “{}”.",
        not_found: "Este link não é válido",
        check_link: "Abra novamente o link no e-mail ou copie-o por inteiro.",
        unavailable: "Indisponível no momento",
        try_later: "Tente novamente em alguns minutos.",
    },
    Texts {
        language: "pl",
        title: "Rezygnacja z subskrypcji",
        question: "Czy chcesz przestać otrzymywać wiadomości e-mail z listy „{}”?",
        question_untitled: "Czy chcesz przestać otrzymywać wiadomości e-mail tego rodzaju?",
        which: "Których wiadomości e-mail nie chcesz już otrzymywać?",
        this_kind: "Z listy „{}”",
        this_kind_untitled: "Wiadomości tego rodzaju",
        everything: "Wszystkich naszych wiadomości",
        button: "Wypisz mnie",
        done: "Subskrypcja została anulowana",
        effect: "Nie otrzymasz już wiadomości e-mail z listy „{}”.",
        effect_untitled: "Nie otrzymasz już wiadomości e-mail tego rodzaju.",
        effect_everything: "Nie otrzymasz już od nas żadnych wiadomości e-mail.",
        already: "Subskrypcja została już wcześniej anulowana",
        mistake: "Czy to pomyłka?",
        again: "Zapisz mnie ponownie",
        leave_everything: "Wypisz mnie ze wszystkiego",
        resubscribed: "Subskrypcja jest znów aktywna",
        resubscribed_effect: "Nadal będziesz otrzymywać wiadomości e-mail z listy „{}”.",
        resubscribed_effect_untitled: "Nadal będziesz otrzymywać wiadomości e-mail tego rodzaju.",
        preferences: "Preferencje e-mailowe",
        choose: "Jakie e-maile chcesz otrzymywać?",
        save: "Zapisz",
        saved: "Twój wybór został zapisany.",
        undo: "Cofnij",
        pending: "Jeszcze niepotwierdzone: sprawdź swoją skrzynkę.",
        confirm: "Potwierdź subskrypcję",
        confirm_question: "Czy chcesz otrzymywać e-maile z „{}”?",
        confirm_button: "Potwierdź",
        confirmed: "Twoja subskrypcja jest potwierdzona",
        confirmed_effect: "Będziesz otrzymywać e-maile z „{}”.",
        not_found: "Ten link jest nieprawidłowy",
        check_link: "Otwórz ponownie link z wiadomości e-mail lub skopiuj go w całości.",
        unavailable: "Chwilowo niedostępne",
        try_later: "Spróbuj ponownie za kilka minut.",
    },
    Texts {
        language: "ar",
        title: "إلغاء الاشتراك",
        question: "هل ترغب في التوقف عن تلقي الرسائل الإلكترونية من «{}»؟",
        question_untitled: "هل ترغب في التوقف عن تلقي رسائل إلكترونية من هذا النوع؟",
        which: "ما الرسائل الإلكترونية التي لم تعد ترغب في تلقيها؟",
        this_kind: "رسائل «{}»",
        this_kind_untitled: "الرسائل من هذا النوع",
        everything: "جميع رسائلنا الإلكترونية",
        button: "إلغاء الاشتراك",
        done: "تم إلغاء اشتراكك",
        effect: "لن تصلك أي رسائل إلكترونية أخرى من «{}».",
        effect_untitled: "لن تصلك أي رسائل إلكترونية أخرى من هذا النوع.",
        effect_everything: "لن تصلك منا أي رسائل إلكترونية أخرى.",
        already: "سبق أن تم إلغاء اشتراكك",
        mistake: "هل حدث ذلك عن طريق الخطأ؟",
        again: "إعادة الاشتراك",
        leave_everything: "إلغاء الاشتراك في كل شيء",
        resubscribed: "تم تفعيل اشتراكك من جديد",
        resubscribed_effect: "ستستمر في تلقي الرسائل الإلكترونية من «{}».",
        resubscribed_effect_untitled: "ستستمر في تلقي الرسائل الإلكترونية من هذا النوع.",
        preferences: "تفضيلات بريدك الإلكتروني",
        choose: "ما الرسائل الإلكترونية التي تود تلقيها؟",
        save: "حفظ",
        saved: "تم حفظ اختيارك.",
        undo: "تراجع",
        pending: "لم يتم التأكيد بعد: يرجى مراجعة صندوق بريدك.",
        confirm: "أكّد اشتراكك",
        confirm_question: "هل تود تلقي رسائل إلكترونية من «{}»؟",
        confirm_button: "تأكيد",
        confirmed: "تم تأكيد اشتراكك",
        confirmed_effect: "ستصلك رسائل إلكترونية من «{}».",
        not_found: "هذا الرابط غير صالح",
        check_link: "يرجى فتح الرابط من الرسالة الإلكترونية مرة أخرى أو نسخه كاملاً.",
        unavailable: "غير متاح حاليًا",
        try_later: "يرجى المحاولة مرة أخرى بعد بضع دقائق.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    const OF_SCENARIO: [Text; 6] = [
        Text::Question,
        Text::ThisKind,
        Text::Effect,
        Text::ResubscribedEffect,
        Text::ConfirmQuestion,
        Text::ConfirmedEffect,
    ];

    #[test]
    fn every_language_names_the_scenario_where_it_must_and_nowhere_else() {
        for texts in &TEXTS {
            for text in Text::ALL {
                let words = texts.text(*text);
                let expected = usize::from(OF_SCENARIO.contains(text));
                assert_eq!(words.matches("{}").count(), expected, "{words}");
                assert!(
                    !words.is_empty() && !words.replace("{}", "").contains(['{', '<', '&']),
                    "{words}"
                );
            }
        }
    }

    #[test]
    fn the_database_accepts_each_text_and_no_other() {
        let schema = include_str!("../../sql/tables/tracking.sql");
        let (_, check) = schema
            .split_once("create table marketing_automation.page_text")
            .unwrap();
        let (_, names) = check.split_once("name in (").unwrap();
        let (names, _) = names.split_once(')').unwrap();
        let accepted: Vec<&str> = names
            .split(',')
            .map(|name| name.trim().trim_matches('\''))
            .collect();
        let known: Vec<&str> = Text::ALL.iter().map(|text| text.name()).collect();
        assert_eq!(accepted, known);
    }
}
