//! A schedule: everything that happens, as data. It is made from a seed, carried out by `world`, and when it fails its
//! steps are taken away one by one as long as it still does.

use super::super::fake::{Faults, Random};
use crate::driver::LinkOrder;
use crate::engine::Wake;
use std::fmt;

/// Who is connected with whom, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One server, one directory.
    BothWays,
    ToLocal,
    ToLdap,
    /// Two back ends that share a directory by the host attribute.
    Clustered,
    /// Two connectors of one server to the same directory: what one writes, the other sees.
    Ring,
    /// Two servers that have the same people through one directory.
    Twins,
}

/// How conflicts are decided, and what the guard lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) resolution: &'static str,
    pub(super) scope: &'static str,
    pub(super) absent: &'static str,
    pub(super) guard: u64,
}

/// What a foreign editor does in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    New,
    NewGroup,
    Name,
    Address,
    Alias,
    /// An alias that was dropped here is written there.
    Dropped,
    Switch,
    Scope,
    Poison,
    Delete,
    /// Who was deleted last is back, from a backup.
    Restore,
    /// Deleted and made again under the same DN: another person.
    Again,
    Swap,
    Move,
    /// The branch of people gets another name, and no message names them.
    Branch,
    /// Some people's branch is moved out of the bases, and back: no message names them either.
    BranchAway,
    BranchBack,
    Host,
    Members,
}

/// What an administrator does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    New,
    NewGroup,
    Name,
    Address,
    Alias,
    Switch,
    Password,
    Delete,
    Undelete,
    Erase,
    Swap,
    Members,
}

/// What becomes of the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    NotSent,
    LostBefore,
    LostAfter,
    /// Carried out, no answer, and everybody who listens is cut off.
    HangUp,
    Refused,
    /// Somebody edits the same entry just before.
    Edited,
    /// Somebody deletes it just before.
    Deleted,
    /// It was part of a batch that was rolled back, and is written again.
    Aborted,
}

/// What the service identity may not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    Nothing,
    Everything,
    Accounts,
    Aliases,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    There(u8, There),
    Here(u8, Here),
    /// A round of a connector; `crash` says after how many looks at the world its process dies.
    Round {
        on: u8,
        wake: Wake,
        crash: Option<u16>,
        faults: Faults,
    },
    /// The open feed, and then the journal.
    Listen {
        on: u8,
        crash: Option<u16>,
    },
    Restart(u8),
    /// What an administrator does to the link of an account.
    Link {
        on: u8,
        who: u8,
        order: LinkOrder,
    },
    /// The server gets another name, and is started anew.
    Rename(u8),
    Answer(Answer),
    HangUp,
    LoseLog,
    LoseCookie(u8),
    FailOver(u8),
    /// The same after so many looks, in the middle of a round.
    FailOverIn {
        looks: u8,
        behind: u8,
    },
    /// The feed is read from a server that lags, and what is written goes to another one.
    Apart(u8),
    /// The directory's server is killed and started anew: it says that it has come less far than it has.
    Killed(u8),
    CatchUp,
    Hide(Hidden),
    Later(u16),
}

/// A step with its number, which makes its values unlike any others, and its share of chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub(super) number: u16,
    pub(super) step: Step,
}

#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) terms: Terms,
    pub(super) steps: Vec<Numbered>,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}, {:?}", self.seed, self.shape, self.terms)?;
        for Numbered { number, step } in &self.steps {
            match step {
                Step::Round {
                    on,
                    wake,
                    crash,
                    faults,
                } => {
                    write!(f, "  {number:>2} round of connector {on}")?;
                    if *wake == Wake::Full {
                        write!(f, ", everything")?;
                    }
                    faults.tell(f)?;
                    if let Some(after) = crash {
                        write!(f, ", dies after {after}")?;
                    }
                    writeln!(f)?;
                }
                step => writeln!(f, "  {number:>2} {step:?}")?,
            }
        }
        Ok(())
    }
}

impl Faults {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is, name) in [
            (self.shuffle, "shuffled"),
            (self.duplicate, "repeated"),
            (self.false_deletes, "false deletes"),
            (self.lose_one, "one lost"),
            (self.no_look_ups, "no look-ups"),
        ] {
            if is {
                write!(f, ", {name}")?;
            }
        }
        match self.fail_after {
            Some(after) => write!(f, ", fails after {after}"),
            None => Ok(()),
        }
    }
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    let at = usize::try_from(random.below(from.len() as u64)).expect("small");
    from[at]
}

impl Shape {
    /// How many connectors there are.
    pub(super) const fn sites(self) -> u8 {
        match self {
            Self::BothWays | Self::ToLocal | Self::ToLdap => 1,
            Self::Clustered | Self::Ring | Self::Twins => 2,
        }
    }

    /// How many servers.
    pub(super) const fn nodes(self) -> u8 {
        match self {
            Self::Clustered | Self::Twins => 2,
            _ => 1,
        }
    }
}

impl Schedule {
    /// The schedule of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.below(2);
        }
        let shape = pick(
            &mut random,
            &[
                Shape::BothWays,
                Shape::BothWays,
                Shape::ToLocal,
                Shape::ToLdap,
                Shape::Clustered,
                Shape::Clustered,
                Shape::Ring,
                Shape::Twins,
            ],
        );
        let terms = Terms {
            resolution: pick(&mut random, &["local-wins", "ldap-wins", "no-change"]),
            scope: pick(&mut random, &["entry", "attribute"]),
            absent: pick(&mut random, &["keep", "clear"]),
            guard: if random.chance(15) { 3 } else { 1_000_000 },
        };
        let mut schedule = Self {
            seed,
            shape,
            terms,
            steps: Vec::new(),
        };
        schedule.begin(&mut random);
        let begun = schedule.steps.len();
        for _ in 0..6 + random.below(10) {
            let step = schedule.some(&mut random);
            schedule.add(step);
        }
        schedule.unlink(Random(seed.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1));
        schedule.kill_slapd(begun, Random(seed.wrapping_mul(0xe703_7ed1_a0b4_28db) | 1));
        schedule.read_from_afar(begun, Random(seed.wrapping_mul(0xa24b_aed4_963e_e407) | 1));
        schedule.leave_unanswered(begun, Random(seed.wrapping_mul(0x9fb2_1c65_1e98_df25) | 1));
        schedule.bereave(begun, Random(seed.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) | 1));
        schedule.leave_no_version(begun, Random(seed.wrapping_mul(0xd6e8_feb8_6659_fd93) | 1));
        schedule
    }

    /// A place among the steps, after everybody was connected.
    fn somewhere(&self, begun: usize, random: &mut Random) -> usize {
        let of_the_begin = |numbered: &Numbered| usize::from(numbered.number) < begun;
        let first = self
            .steps
            .iter()
            .rposition(of_the_begin)
            .map_or(0, |last| last + 1);
        let room = self.steps.len() - first + 1;
        first + usize::try_from(random.below(room as u64)).expect("small")
    }

    /// Now and then the directory's server is killed.
    fn kill_slapd(&mut self, begun: usize, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(15) {
            return;
        }
        let number = u16::try_from(self.steps.len()).expect("few");
        let at = self.somewhere(begun, &mut random);
        let step = Step::Killed(u8::try_from(random.below(5)).expect("small"));
        self.steps.insert(at, Numbered { number, step });
    }

    /// Now and then the feed is read from a server that lags, while what is written here goes to another one.
    fn read_from_afar(&mut self, begun: usize, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(30) {
            return;
        }
        let at = self.somewhere(begun, &mut random);
        let behind = pick(&mut random, &[0, 0, 0, 1, 2]);
        let mut steps = vec![Step::Apart(behind)];
        for _ in 0..3 + random.below(6) {
            let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
            let who = u8::try_from(random.below(8)).expect("small");
            steps.push(match random.below(12) {
                0..4 => Step::Here(who, self.edit_from_afar(&mut random)),
                4..8 => Step::Listen { on, crash: None },
                8 => plain_round(on),
                9 => Step::Restart(on),
                10 => Step::Later(u16::try_from(1 + random.below(60)).expect("small")),
                _ => Step::There(who, there(&mut random, self.shape)),
            });
        }
        steps.extend(random.chance(60).then_some(Step::CatchUp));
        self.insert(at, steps);
    }

    /// Now and then something happens that leaves no version at any entry, a branch moved out of the bases or into them or a list
    /// that is gone, while servers are slow to hear of it and take each other's place, in the middle of rounds too.
    fn leave_no_version(&mut self, begun: usize, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(20) {
            return;
        }
        let at = self.somewhere(begun, &mut random);
        let mut steps = Vec::new();
        if random.chance(40) {
            steps.extend([Step::There(0, There::NewGroup), plain_round(0)]);
        }
        for _ in 0..3 + random.below(6) {
            let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
            let who = u8::try_from(random.below(8)).expect("small");
            let behind = pick(&mut random, &[0, 0, 1, 1, 2]);
            let looks = u8::try_from(random.below(6)).expect("small");
            steps.push(match random.below(16) {
                0..2 => Step::There(who, There::BranchAway),
                2..4 => Step::There(who, There::BranchBack),
                // A list: it is every fifth one's turn.
                4..6 => Step::There(0, There::Delete),
                6 => Step::There(who, there(&mut random, self.shape)),
                7 => Step::FailOver(behind),
                8..10 => Step::FailOverIn { looks, behind },
                10 => Step::Killed(behind),
                11 => Step::CatchUp,
                12 => Step::Listen { on, crash: None },
                13 => Step::Later(pick(&mut random, &[5, 70, 700])),
                _ => plain_round(on),
            });
        }
        self.insert(at, steps);
    }

    /// An edit here. In a ring nobody swaps: its second connector may not have seen the two yet, which is open (0011).
    fn edit_from_afar(&self, random: &mut Random) -> Here {
        match here(random) {
            Here::Swap if self.shape == Shape::Ring => Here::Name,
            edit => edit,
        }
    }

    fn insert(&mut self, mut at: usize, steps: Vec<Step>) {
        for step in steps {
            let number = u16::try_from(self.steps.len()).expect("few");
            self.steps.insert(at, Numbered { number, step });
            at += 1;
        }
    }

    /// Now and then the end of a write is not known, and both sides are edited before anybody looks.
    fn leave_unanswered(&mut self, begun: usize, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(20) {
            return;
        }
        let at = self.somewhere(begun, &mut random);
        let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
        let who = u8::try_from(random.below(8)).expect("small");
        let answers = [
            Answer::LostAfter,
            Answer::LostAfter,
            Answer::HangUp,
            Answer::LostBefore,
        ];
        let edits = [
            Here::Alias,
            Here::Alias,
            Here::Name,
            Here::Address,
            Here::Switch,
            Here::New,
            Here::Members,
        ];
        let mut steps = vec![
            Step::Answer(pick(&mut random, &answers)),
            Step::Here(who, pick(&mut random, &edits)),
        ];
        steps.push(match random.chance(50) {
            true => plain_round(on),
            false => Step::Listen { on, crash: None },
        });
        steps.extend(random.chance(70).then_some(Step::Restart(on)));
        for _ in 0..1 + random.below(3) {
            let other = u8::try_from(random.below(8)).expect("small");
            steps.push(match random.below(3) {
                0 => Step::Here(who, pick(&mut random, &edits)),
                1 => Step::There(
                    other,
                    pick(&mut random, &[There::Name, There::Alias, There::Members]),
                ),
                _ => Step::There(other, there(&mut random, self.shape)),
            });
        }
        self.insert(at, steps);
    }

    /// Now and then an entry goes whose object was edited here, and cannot be made again at once.
    fn bereave(&mut self, begun: usize, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(10) {
            return;
        }
        let at = self.somewhere(begun, &mut random);
        let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
        let mut some = || u8::try_from(random.below(8)).expect("small");
        let (gone, who, other) = (some(), some(), some());
        let edits = [Here::Name, Here::Swap, Here::Address];
        let edit = pick(&mut random, &edits);
        let trouble = [
            Step::Answer(Answer::NotSent),
            Step::Answer(Answer::Refused),
            Step::Answer(Answer::LostAfter),
            Step::FailOver(1),
        ];
        let trouble = pick(&mut random, &trouble);
        let strangers = [There::Again, There::Address, There::Swap, There::New];
        let stranger = pick(&mut random, &strangers);
        let steps = vec![
            Step::There(gone, There::Delete),
            Step::Here(who, edit),
            trouble,
            plain_round(on),
            Step::There(other, stranger),
            plain_round(on),
        ];
        self.insert(at, steps);
    }

    /// Now and then links are changed by hand, around what the directory loses and gets back.
    fn unlink(&mut self, mut random: Random) {
        for _ in 0..4 {
            random.below(2);
        }
        if !random.chance(30) {
            return;
        }
        for _ in 0..2 + random.below(4) {
            let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
            let who = u8::try_from(random.below(8)).expect("small");
            let order = |order| Step::Link { on, who, order };
            let step = match random.below(12) {
                0..4 => order(LinkOrder::Unlink),
                4..7 => order(LinkOrder::Relink),
                7 => Step::There(who, There::Delete),
                8..10 => Step::There(who, There::Restore),
                10 => Step::Here(who, Here::Undelete),
                _ => plain_round(on),
            };
            let number = u16::try_from(self.steps.len()).expect("few");
            let first = 2 + usize::from(self.shape.sites());
            let room = self.steps.len().saturating_sub(first).max(1) as u64;
            let at = first + usize::try_from(random.below(room)).expect("small");
            let at = at.min(self.steps.len());
            self.steps.insert(at, Numbered { number, step });
        }
    }

    /// A story instead of chance.
    pub(super) fn told(shape: Shape, steps: &[Step]) -> Self {
        let terms = Terms {
            resolution: "ldap-wins",
            scope: "attribute",
            absent: "keep",
            guard: 3,
        };
        let numbered = (0..).zip(steps);
        Self {
            seed: 1,
            shape,
            terms,
            steps: numbered
                .map(|(number, step)| Numbered { number, step: *step })
                .collect(),
        }
    }

    /// The same with other terms, and with the numbers that the steps had.
    pub(super) fn told_as(shape: Shape, terms: Terms, steps: &[(u16, Step)]) -> Self {
        let numbered = steps.iter().map(|(number, step)| Numbered {
            number: *number,
            step: *step,
        });
        Self {
            seed: 1,
            shape,
            terms,
            steps: numbered.collect(),
        }
    }

    fn add(&mut self, step: Step) {
        let number = u16::try_from(self.steps.len()).expect("few");
        self.steps.push(Numbered { number, step });
    }

    fn begin(&mut self, random: &mut Random) {
        for _ in 0..2 + random.below(3) {
            let who = u8::try_from(random.below(self.shape.nodes().into())).expect("small");
            let step = if random.chance(50) && self.shape != Shape::ToLocal {
                Step::Here(who, Here::New)
            } else {
                Step::There(who, There::New)
            };
            self.add(step);
        }
        if random.chance(50) {
            self.add(Step::There(0, There::NewGroup));
        }
        for on in 0..self.shape.sites() {
            self.add(plain_round(on));
        }
    }

    fn some(&self, random: &mut Random) -> Step {
        let on = u8::try_from(random.below(self.shape.sites().into())).expect("small");
        let who = u8::try_from(random.below(8)).expect("small");
        let crash = |random: &mut Random, chance| {
            let after = u16::try_from(random.below(60)).expect("small");
            random.chance(chance).then_some(after)
        };
        match random.below(100) {
            0..30 => Step::There(who, there(random, self.shape)),
            30..52 => Step::Here(who, here(random)),
            52..74 => {
                let wake = if random.chance(12) { Wake::Full } else { Wake::Now };
                Step::Round {
                    on,
                    wake,
                    crash: crash(random, 35),
                    faults: faults(random),
                }
            }
            74..82 => Step::Listen {
                on,
                crash: crash(random, 25),
            },
            82..84 if self.shape == Shape::Clustered && random.chance(70) => Step::Rename(on),
            82..84 => Step::Restart(on),
            84..90 => Step::Answer(pick(
                random,
                &[
                    Answer::NotSent,
                    Answer::LostBefore,
                    Answer::LostAfter,
                    Answer::HangUp,
                    Answer::Refused,
                    Answer::Edited,
                    Answer::Deleted,
                    Answer::Aborted,
                ],
            )),
            90..91 => Step::HangUp,
            91..92 => Step::LoseLog,
            92..93 => Step::LoseCookie(on),
            93..95 => Step::FailOver(u8::try_from(random.below(5)).expect("small")),
            95..96 => Step::CatchUp,
            96..98 => Step::Hide(pick(
                random,
                &[
                    Hidden::Everything,
                    Hidden::Accounts,
                    Hidden::Aliases,
                    Hidden::Nothing,
                ],
            )),
            _ => Step::Later(u16::try_from(30 + random.below(1200)).expect("small")),
        }
    }
}

/// A round without any fault.
pub(super) fn plain_round(on: u8) -> Step {
    Step::Round {
        on,
        wake: Wake::Now,
        crash: None,
        faults: Faults::default(),
    }
}

fn faults(random: &mut Random) -> Faults {
    let after = usize::try_from(random.below(4)).expect("small");
    Faults {
        shuffle: random.chance(40),
        duplicate: random.chance(20),
        false_deletes: random.chance(15),
        lose_one: random.chance(5),
        no_look_ups: random.chance(8),
        fail_after: random.chance(10).then_some(after),
        crash_after: None,
    }
}

fn there(random: &mut Random, shape: Shape) -> There {
    let edits = [
        There::New,
        There::Name,
        There::Name,
        There::Name,
        There::Address,
        There::Alias,
        There::Alias,
        There::Switch,
        There::Scope,
        There::Poison,
        There::Delete,
        There::Again,
        There::Swap,
        There::Move,
        There::Branch,
        There::NewGroup,
        There::Members,
        There::Members,
    ];
    if shape == Shape::Clustered && random.chance(25) {
        return There::Host;
    }
    pick(random, &edits)
}

fn here(random: &mut Random) -> Here {
    pick(
        random,
        &[
            Here::New,
            Here::Name,
            Here::Name,
            Here::Name,
            Here::Address,
            Here::Alias,
            Here::Alias,
            Here::Switch,
            Here::Password,
            Here::Delete,
            Here::Erase,
            Here::Swap,
            Here::NewGroup,
            Here::Members,
        ],
    )
}
