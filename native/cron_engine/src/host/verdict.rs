//! What the end of a fetch says about its host.

use crate::engine::event::Fetched;
use crate::host::lane::Lane;
use crate::{Class, Failure};
use std::time::Duration;

/// The meaning of a fetch's end for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host answered.
    Answered,
    /// It did not answer, or asks not to be called for a while.
    Failed(Option<Duration>),
    /// The fetch says nothing about the host.
    Neither,
}

impl Verdict {
    /// The verdict of a fetch in `lane`, which may be a probe. A time-out in the slow lane is known
    /// already, and concerns one process. In the fast lane it concerns the host, unless the host
    /// answered other fetches since this one began: then it concerns one process, however many end
    /// together. A fetch that was too slow while places were scarce says little, since the others
    /// may wait behind more like it.
    pub(crate) fn of(
        outcome: &Result<Fetched, Failure>,
        lane: Lane,
        probe: bool,
        others_fared_better: bool,
    ) -> Self {
        let of_one_process = (lane == Lane::Slow || others_fared_better) && !probe;
        match outcome {
            Ok(Fetched::TooSlow) if probe => Self::Failed(None),
            Ok(Fetched::TooSlow) => Self::Neither,
            Ok(_) => Self::Answered,
            Err(failure) => match failure.class {
                Class::Internal | Class::NoRoom => Self::Neither,
                Class::Timeout | Class::FirstByteTimeout if of_one_process => Self::Neither,
                class if class.is_of_host() || failure.retry_after.is_some() => {
                    Self::Failed(failure.retry_after)
                }
                _ => Self::Answered,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(class: Class, lane: Lane, probe: bool) -> Verdict {
        Verdict::of(&Err(Failure::new(class, "")), lane, probe, false)
    }

    #[test]
    fn any_answer_says_that_the_host_is_there() {
        assert_eq!(
            Verdict::of(&Ok(Fetched::EmptyPage), Lane::Fast, false, false),
            Verdict::Answered
        );
        for class in [Class::Status, Class::BadJson, Class::CursorRegressed, Class::BodyTooLarge] {
            assert_eq!(verdict(class, Lane::Fast, false), Verdict::Answered);
        }
    }

    #[test]
    fn time_out_counts_against_the_host_unless_its_monitor_is_known_to_be_slow() {
        let failed = Verdict::Failed(None);
        assert_eq!(verdict(Class::Timeout, Lane::Fast, false), failed);
        assert_eq!(verdict(Class::Timeout, Lane::Slow, false), Verdict::Neither);
        assert_eq!(verdict(Class::Timeout, Lane::Slow, true), failed);
        assert_eq!(verdict(Class::Connect, Lane::Slow, false), failed);
    }

    #[test]
    fn time_out_while_others_were_answered_says_nothing_but_a_refusal_does() {
        let verdict =
            |class, probe| Verdict::of(&Err(Failure::new(class, "")), Lane::Fast, probe, true);
        assert_eq!(verdict(Class::Timeout, false), Verdict::Neither);
        assert_eq!(verdict(Class::FirstByteTimeout, false), Verdict::Neither);
        assert_eq!(verdict(Class::Timeout, true), Verdict::Failed(None));
        assert_eq!(verdict(Class::Connect, false), Verdict::Failed(None));
    }

    #[test]
    fn impatience_counts_against_the_host_of_a_probe_alone() {
        let verdict = |probe| Verdict::of(&Ok(Fetched::TooSlow), Lane::Fast, probe, false);
        assert_eq!((verdict(false), verdict(true)), (Verdict::Neither, Verdict::Failed(None)));
    }

    #[test]
    fn retry_after_counts_against_the_host() {
        let retry_after = Some(Duration::from_secs(7));
        let failure = Failure { retry_after, ..Failure::new(Class::Status, "503") };
        assert_eq!(
            Verdict::of(&Err(failure), Lane::Fast, false, false),
            Verdict::Failed(retry_after)
        );
    }

    #[test]
    fn fault_of_our_own_says_nothing() {
        assert_eq!(verdict(Class::Internal, Lane::Fast, true), Verdict::Neither);
        assert_eq!(verdict(Class::NoRoom, Lane::Fast, true), Verdict::Neither);
    }
}
