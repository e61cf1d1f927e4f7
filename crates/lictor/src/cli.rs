// SPDX-License-Identifier: Apache-2.0
//! The command line: every command, option and help text.

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use lictor_api::alert::AlertState;
use lictor_api::control::Mode;
use lictor_api::event::{Action, Kind, Severity};
use lictor_api::view::Role;
use lictor_judge::rules::State;
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs AI agents under a policy that the Linux kernel enforces.
#[derive(Debug, Parser)]
#[command(name = "lictor", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Example: sudo lictor run -- bash\n         lictor events --denied\n         lictor explain EVENT_ID"
)]
pub(crate) struct Cli {
    /// The control socket of lictord [default: what the settings say]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// The settings file [default: /etc/lictor/lictord.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command, and everything it starts, as a governed session
    Run(RunArgs),
    /// Show what happened
    Events(EventsArgs),
    /// Ask recorded events in SQL
    Query(QueryArgs),
    /// Explain one event: why, by which line, and the line that would change it
    Explain(ExplainArgs),
    /// Show sessions and their process trees
    Ps(PsArgs),
    /// Check policies, or try them on recorded events
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show what policy and tiers say of recorded events; touches nothing
    Judge(JudgeArgs),
    /// List and check rules, run their tests, change their state
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Show what the judges' verdicts made the kernel remember, and who waits for one; decide by hand
    #[command(subcommand)]
    Verdicts(VerdictsCommand),
    /// Verify the audit chain, show it, sign how far it has come; erase a person's data
    #[command(subcommand)]
    Audit(crate::audit::AuditCommand),
    /// Show what a person should look at; acknowledge, close, note and silence
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Show how the sinks do that events and alerts are sent to
    Sinks(SinksArgs),
    /// Watch sessions, their rates and what is denied, live
    Top(TopArgs),
    /// Make, list and remove tokens for the HTTP interface on TCP
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show whether Lictor enforces, and its counters
    Status(StatusArgs),
    /// Show each thing this host must have, and the step that mends what is missing
    Doctor(DoctorArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files; prints FILE:LINE:COLUMN: message for each problem
    Check(CheckArgs),
    /// Show what a policy would have said of recorded events; changes nothing
    Test(TestArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// List the rules, and what each has done if a daemon runs
    List(RulesListArgs),
    /// Check rule files; prints FILE:LINE:COLUMN: message for each problem
    Check(RulesCheckArgs),
    /// Run the tests that stand beside the rules
    Test(RulesTestArgs),
    /// Change a rule's state in its file; comments stay
    SetState(RulesSetStateArgs),
    /// Bring the rules of one place into a directory; leaves out what is there, shows conflicts
    Merge(RulesMergeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor rules list
         lictor rules list --rules ./rules --json")]
pub(crate) struct RulesListArgs {
    /// The directory of rule files, or one file [default: what the settings say]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor rules test ./rules

Exit status: 0 when every test passes; 1 otherwise.")]
pub(crate) struct RulesTestArgs {
    /// The directory of rule files, or one file
    #[arg(value_name = "DIR")]
    pub(crate) path: PathBuf,
    /// One JSON object a test
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor rules set-state reverse-shell-bash testing")]
pub(crate) struct RulesSetStateArgs {
    /// The rule's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// draft: checked only; testing: recorded, changes nothing; active
    #[arg(value_name = "STATE")]
    pub(crate) state: State,
    /// The directory of rule files, or one file [default: what the settings say]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor rules merge ./new-rules /etc/lictor/rules.d

Exit status: 0 when the rules are merged; 1 when there are conflicts or problems, and nothing was written.")]
pub(crate) struct RulesMergeArgs {
    /// The directory of rule files, or the file, whose rules come in
    #[arg(value_name = "FROM")]
    pub(crate) from: PathBuf,
    /// The directory that they come into
    #[arg(value_name = "INTO")]
    pub(crate) into: PathBuf,
    /// Leave out what is in conflict, and merge the rest
    #[arg(long)]
    pub(crate) skip_conflicts: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor judge --rules ./rules --events session.jsonl
         echo '{\"kind\":\"exec\",\"process\":{\"args\":[\"sh\",\"-c\",\"id\"]}}' | lictor judge --json

An event needs no more than its kind and what is to be judged: a command line is made from the arguments.")]
pub(crate) struct JudgeArgs {
    /// Ask this policy first, and judge each agent by the rules that it names
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The directory of rule files [default: what the settings say]
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// The tiers to ask, whatever their order here
    #[arg(long, value_name = "T,...", value_delimiter = ',', default_value = "rules")]
    pub(crate) tiers: Vec<TierArg>,
    /// Recorded events, one JSON object a line; `-` for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) events: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierArg {
    Rules,
    Classifier,
    Llm,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor rules check /etc/lictor/rules.d
         lictor rules check my-rules.yaml")]
pub(crate) struct RulesCheckArgs {
    /// Directories of rule files, or single files; each is a set of its own
    #[arg(required = true, value_name = "DIR")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor run -- claude
         sudo lictor run --policy policy.yaml --agent coder --user \"$USER\" -- make test

Exit status: that of CMD; 128+N when signal N ended it; 126 CMD may not be executed; 127 CMD was not
found; 125 Lictor itself failed, and CMD was not started.")]
pub(crate) struct RunArgs {
    /// The agent, as the policy names it, or a built-in profile [default: the only agent of --policy; else the profile of
    /// CMD (claude, codex, gemini, opencode, aider) where lictord's policy has no agent `default`; else `default`]
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Govern this session by this policy file (with a running lictord: root only)
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The directory of rules
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Deny, or only record what would have been denied [default: what the policy says]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) mode: Option<ModeArg>,
    /// Run the command as this user (root only)
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Write every event of the session to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Leave out the line about the profile that was chosen, and the one about denials at the end
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = false, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor events --denied --since 10m
         lictor events --follow --json --kind network,exec
         lictor events --since 2d --program curl --address 10.0.0.1:443
         lictor events --text \"pip install\" --limit 20
         lictor events --file session.jsonl")]
pub(crate) struct EventsArgs {
    /// Go on with new events as they come
    #[arg(long, short, conflicts_with = "file")]
    pub(crate) follow: bool,
    /// One JSON object a line, as recorded
    #[arg(long)]
    pub(crate) json: bool,
    /// Only this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Only these kinds: exec, file, network, process, memory, privilege, lost
    #[arg(long, value_name = "K,...", value_delimiter = ',')]
    pub(crate) kind: Vec<Kind>,
    /// Only what was denied, or would have been in mode monitor
    #[arg(long)]
    pub(crate) denied: bool,
    /// Only what is younger than this: 30s, 10m, 2h, 1d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<SignedDuration>,
    /// Only what is older than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) until: Option<SignedDuration>,
    /// Only these verdicts: allow, deny, kill, hold, alert
    #[arg(long, value_name = "V,...", value_delimiter = ',')]
    pub(crate) verdict: Vec<Action>,
    /// Only what is at least so bad: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<Severity>,
    /// Only what this process did
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Only what this program did: a path, or its last part
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// Only what was done to this file, or below this folder
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Only connections with this address or name; with :PORT, with that port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Only what this rule matched
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Only what has all these words, anywhere
    #[arg(long, value_name = "WORDS")]
    pub(crate) text: Option<String>,
    /// Only the last N
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Read this file of events instead of asking lictord
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: lictor query \"SELECT program, count(*) AS n FROM events WHERE denied GROUP BY program ORDER BY n DESC\"
         lictor query --since 1d --csv \"SELECT time, session, object FROM events WHERE kind = 'network'\"
         lictor query --columns

There is one table, `events`: what lictord has stored, and its archive. It is only read. Root, or whoever may read the files
of the store, can ask, with or without a running lictord. The SQL is SQLite's."
)]
pub(crate) struct QueryArgs {
    /// One SELECT; `-` for standard input
    #[arg(value_name = "SQL", required_unless_present = "columns")]
    pub(crate) sql: Option<String>,
    /// Only what is younger than this: 30s, 10m, 2h, 1d. Older events are not read, so that the answer comes sooner
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<SignedDuration>,
    /// Only what is older than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) until: Option<SignedDuration>,
    /// How long it may take
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "60s")]
    pub(crate) timeout: SignedDuration,
    /// One JSON object a line
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Comma-separated values; control characters are escaped, formulas are made text
    #[arg(long)]
    pub(crate) csv: bool,
    /// List the columns of `events`
    #[arg(long)]
    pub(crate) columns: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor explain 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z
         lictor explain --file session.jsonl 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z")]
pub(crate) struct ExplainArgs {
    /// The event's id, as `lictor events` shows it
    #[arg(value_name = "EVENT_ID")]
    pub(crate) id: String,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Look for the event in this file instead of asking lictord
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: lictor ps\n         sudo lictor ps --all\n         sudo lictor ps --all --hashes --json | jq '.[] | select(.session)'"
)]
pub(crate) struct PsArgs {
    /// Every process of the host, governed or not, and the ended that live ones descend from; for root
    #[arg(long)]
    pub(crate) all: bool,
    /// With the SHA-256 of each program; what cannot be read within 20 s is left out
    #[arg(long, requires = "all")]
    pub(crate) hashes: bool,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor policy check /etc/lictor/policy.yaml")]
pub(crate) struct CheckArgs {
    /// The policy files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor policy test new.yaml --events session.jsonl
         lictor policy test new.yaml --rules ./rules --events session.jsonl")]
pub(crate) struct TestArgs {
    /// The policy to try
    #[arg(value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Recorded events, one JSON object a line
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) events: PathBuf,
    /// Rules to try as well: the directory of rule files
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// The agent to judge by [default: each event's own, else the policy's only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// What ${HOME} stands for [default: $HOME, else the user's entry]
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// What ${USER} stands for [default: $USER, else the user's entry]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<OsString>,
    /// What ${CWD} stands for [default: the first recorded working directory of the session]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerdictsCommand {
    /// What the kernel answers by itself, and the processes that are held
    List(VerdictsListArgs),
    /// Decide: a held process is let go or ended, and the same execution is answered by the kernel from now on
    Set(VerdictsSetArgs),
    /// Forget all verdicts: the next execution of anything is judged again
    Clear(VerdictsClearArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor verdicts list\n         lictor verdicts list --json")]
pub(crate) struct VerdictsListArgs {
    /// One JSON object: `remembered` and `held`
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decision {
    Allow,
    Deny,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo lictor verdicts set allow 4242\n         sudo lictor verdicts set deny 7d0c5e9a31f2b604-0000000000000000-3 --ttl 1h"
)]
pub(crate) struct VerdictsSetArgs {
    /// What to decide
    #[arg(value_enum)]
    pub(crate) decision: Decision,
    /// The key that `lictor verdicts list` shows, or the number of a held process
    pub(crate) key: String,
    /// How long it holds [default: until rules, policy or daemon change]
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    pub(crate) ttl: Option<SignedDuration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor verdicts clear\n         lictor verdicts list")]
pub(crate) struct VerdictsClearArgs {}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// List alerts, the last seen first
    List(AlertsListArgs),
    /// Show one alert with its example and its processes
    Show(AlertsShowArgs),
    /// Say that somebody looks after it: from then on only worse news are sent
    Ack(AlertsChangeArgs),
    /// Close it; if it happens again, that is a new alert
    Close(AlertsChangeArgs),
    /// Open it again
    Open(AlertsChangeArgs),
    /// Write a note to it; an empty text removes the note
    Note(AlertsNoteArgs),
    /// Keep matching alerts from being sent until a time; they are still counted and listed
    Silence(SilenceArgs),
    /// List the silences that have not ended
    Silences(SilencesArgs),
    /// End a silence
    Unsilence(UnsilenceArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts list\n         lictor alerts list --all --severity high --json")]
pub(crate) struct AlertsListArgs {
    /// Closed ones, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Only these states: open, acknowledged, closed
    #[arg(long, value_name = "S,...", value_delimiter = ',', conflicts_with = "all")]
    pub(crate) state: Vec<AlertState>,
    /// At least this severe: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<Severity>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only the first N
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts show 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z")]
pub(crate) struct AlertsShowArgs {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts ack 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z --note 'asked the team'
         lictor alerts close 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z
         lictor alerts open 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z")]
pub(crate) struct AlertsChangeArgs {
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Why; replaces the note
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// One JSON array of the alerts as they are afterwards
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts note 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z 'a test of ours'")]
pub(crate) struct AlertsNoteArgs {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts silence --rule 'port-scan*' --for 2h --reason 'planned scan'
         lictor alerts silence --session s-7f3a90c2 --program /usr/bin/nmap --for 30m

All that is given must fit; `*` stands for any run of characters.")]
pub(crate) struct SilenceArgs {
    #[arg(long, value_name = "ID")]
    pub(crate) rule: Option<String>,
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// The acting program's path
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<String>,
    /// How long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_duration)]
    pub(crate) span: SignedDuration,
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts silences --json")]
pub(crate) struct SilencesArgs {
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor alerts unsilence 01JZ3Q6K0M6Q2N8W0V4T5X7Y9Z")]
pub(crate) struct UnsilenceArgs {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor sinks\n         lictor sinks --json

Exit status: 0 when every sink works; 1 when one does not.")]
pub(crate) struct SinksArgs {
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor top\n         lictor top --json --count 10 --every 5")]
pub(crate) struct TopArgs {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub(crate) every: f64,
    /// One JSON object for each look, with the rates since the one before
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json, how many
    #[arg(long, requires = "json")]
    pub(crate) count: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it; it is kept nowhere
    Add(TokenAddArgs),
    /// Names, roles and ends of the tokens that there are
    List(TokenListArgs),
    /// Take a token back, and end its logins
    Remove(TokenRemoveArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Sees everything
    Viewer,
    /// Decides: alerts, silences, verdicts, states of rules
    Operator,
    /// Changes policy and rules
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor token add ann --role operator --expires 30d")]
pub(crate) struct TokenAddArgs {
    /// Whom it is for: this name stands beside every change that is made with it
    pub(crate) name: String,
    /// What it permits
    #[arg(long, value_enum)]
    pub(crate) role: RoleArg,
    /// How long it holds [default: until it is removed]
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    pub(crate) expires: Option<SignedDuration>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor token list\n         sudo lictor token list --json")]
pub(crate) struct TokenListArgs {
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor token remove ann")]
pub(crate) struct TokenRemoveArgs {
    /// As `lictor token list` shows it
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: lictor status\n         lictor status --json

Exit status: 0 when lictord is ENFORCING or MONITORING; 1 when it is DEGRADED or does not answer.")]
pub(crate) struct StatusArgs {
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor doctor\n         sudo lictor doctor --json

Exit status: 0 when this host can enforce; 1 otherwise.")]
pub(crate) struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    Enforce,
    Monitor,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Enforce => Self::Enforce,
            ModeArg::Monitor => Self::Monitor,
        }
    }
}

/// `10m`, `1h 30m`, `2d`.
fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is no duration: write it like 30s, 10m, 2h or 1d");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if duration.is_negative() { Err(wrong()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_do() {
        let seconds = |text: &str| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(172_800));
        for wrong in ["", "10", "-5m", "1mo", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn run_leaves_the_commands_own_options_alone() {
        for line in ["lictor run --quiet ls -l --events x", "lictor run --quiet -- ls -l --events x"] {
            let Command::Run(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
            assert!(args.quiet && args.events.is_none());
            assert_eq!(args.command, ["ls", "-l", "--events", "x"]);
        }
        for wrong in ["lictor run", "lictor run --mode soft ls", "lictor run --nonsense ls"] {
            assert!(Cli::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_are_a_list_of_known_words() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let Command::Events(args) = parse("lictor events --kind exec,file --kind lost").unwrap().command else {
            panic!()
        };
        assert_eq!(args.kind, [Kind::Exec, Kind::File, Kind::Lost]);
        let error = parse("lictor events --kind exce").unwrap_err().to_string();
        assert!(error.contains("exec, file, network"), "{error}");
        assert!(parse("lictor events --follow --file x").is_err());
    }
}
