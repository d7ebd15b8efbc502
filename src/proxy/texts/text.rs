//! Which texts the built-in pages have.

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
            $(pub(super) $field: &'static str,)+
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
    /// For a mail that is not shown in a browser any more.
    Gone = gone,
    LookInMailbox = look_in_mailbox,
    /// While the database is away.
    Unavailable = unavailable,
    TryLater = try_later,
}
