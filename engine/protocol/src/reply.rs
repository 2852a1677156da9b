//! What comes back.

use bytemuck::{Pod, Zeroable};

use crate::exit::Exit;
use crate::header::{Header, Kind};
use crate::status::Status;

/// In the header flags of a verdict, beside the phase: the text did not fit.
const CUT: u16 = 4;

/// Which of the replies to a request this is: in the header flags of [`Kind::Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Phase {
    /// A ramp's answer. Asked for in two phases, another reply follows.
    Early = 0,
    /// The full model's answer, and the only one.
    Final = 1,
    /// The full model says the same as the early answer did.
    Confirm = 2,
    /// The full model says something else.
    Correct = 3,
}

/// The answer to an infer request.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Which reply it is.
    pub phase: Phase,
    /// Whether the text was too long and lost tokens; told where
    /// [`tell_cut`](super::InferOptions::tell_cut) asked for it.
    pub is_cut: bool,
    /// The most probable class or label; 0 where the model gives a number.
    pub label: u32,
    /// Its score in [0, 1]; the number's sigmoid.
    pub score: f32,
    /// Where the row left.
    pub exit: Exit,
    /// Share of the layers it ran.
    pub depth: f32,
    /// From arrival to the start of its pass.
    pub queue_us: u32,
    /// From the start of its pass to this answer.
    pub compute_us: u32,
    /// Of the thresholds it met.
    pub threshold_version: u64,
    /// Classes and probabilities, the likeliest first, as many as were asked for and all labels
    /// that hold; of a number class 0 and itself.
    pub top: Vec<(u32, f32)>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub status: Status,
    /// When to try again; 0 where that is no use or any time will do.
    pub retry_after_ms: u32,
    /// For people.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Failure {}

/// Any reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To infer.
    Verdict(Verdict),
    /// To anything.
    Failure(Failure),
    /// To ping.
    Pong(Vec<u8>),
    /// To ready, drain and reload.
    Done,
    /// To metadata and stats.
    Json(String),
}

const FINAL_SITE: u16 = u16::MAX;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct VerdictHead {
    label: [u8; 4],
    score: [u8; 4],
    depth: [u8; 4],
    queue_us: [u8; 4],
    compute_us: [u8; 4],
    site: [u8; 2],
    top: [u8; 2],
    threshold_version: [u8; 8],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct FailureHead {
    status: [u8; 2],
    reserved: [u8; 2],
    retry_after_ms: [u8; 4],
}

impl Reply {
    /// Appends the frame.
    pub fn encode(&self, request: u64, out: &mut Vec<u8>) {
        match self {
            Self::Verdict(verdict) => verdict.encode(request, out),
            Self::Failure(failure) => failure.encode(request, out),
            Self::Pong(payload) => {
                append(out, Header::new(Kind::Pong, request, payload.len()), payload)
            }
            Self::Done => append(out, Header::new(Kind::Done, request, 0), &[]),
            Self::Json(json) => {
                append(out, Header::new(Kind::Json, request, json.len()), json.as_bytes());
            }
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn decode(header: &Header, payload: &[u8]) -> Result<Self, String> {
        match header.kind() {
            Some(Kind::Verdict) => Verdict::decode(header, payload).map(Self::Verdict),
            Some(Kind::Failure) => Failure::decode(payload).map(Self::Failure),
            Some(Kind::Pong) => Ok(Self::Pong(payload.to_vec())),
            Some(Kind::Done) => Ok(Self::Done),
            Some(Kind::Json) => utf8(payload).map(Self::Json),
            other => Err(format!("{other:?} is no reply")),
        }
    }
}

impl Verdict {
    /// The labels that hold, the likeliest first: of a model whose task is `labels`.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        self.top.iter().take_while(|(_, probability)| *probability > 0.5).map(|(label, _)| *label)
    }

    /// The number: of a model whose task is `value` or `score`.
    pub fn value(&self) -> Option<f32> {
        self.top.first().map(|(_, value)| *value)
    }

    fn encode(&self, request: u64, out: &mut Vec<u8>) {
        let site = match self.exit {
            Exit::Site(site) => site as u16,
            Exit::Final => FINAL_SITE,
        };
        let head = VerdictHead {
            label: self.label.to_le_bytes(),
            score: self.score.to_le_bytes(),
            depth: self.depth.to_le_bytes(),
            queue_us: self.queue_us.to_le_bytes(),
            compute_us: self.compute_us.to_le_bytes(),
            site: site.to_le_bytes(),
            top: (self.top.len() as u16).to_le_bytes(),
            threshold_version: self.threshold_version.to_le_bytes(),
        };
        let payload_bytes = size_of::<VerdictHead>() + 8 * self.top.len();
        let header = Header::new(Kind::Verdict, request, payload_bytes);
        let flags = self.phase as u16 + u16::from(self.is_cut) * CUT;
        append(out, header.with_flags(flags), bytemuck::bytes_of(&head));
        for (class, probability) in &self.top {
            out.extend_from_slice(&class.to_le_bytes());
            out.extend_from_slice(&probability.to_le_bytes());
        }
    }

    fn decode(header: &Header, payload: &[u8]) -> Result<Self, String> {
        let fail = || format!("a verdict of {} bytes that does not fit", payload.len());
        let (head, rest) = payload.split_at_checked(size_of::<VerdictHead>()).ok_or_else(fail)?;
        let head: VerdictHead = bytemuck::pod_read_unaligned(head);
        let (pairs, tail) = rest.as_chunks::<8>();
        if !tail.is_empty() || pairs.len() != usize::from(u16::from_le_bytes(head.top)) {
            return Err(fail());
        }
        let phases = [Phase::Early, Phase::Final, Phase::Confirm, Phase::Correct];
        let phase = phases.get(usize::from(header.flags() & !CUT)).ok_or_else(fail)?;
        let site = u16::from_le_bytes(head.site);
        let pair = |p: &[u8; 8]| {
            let [a, b, c, d, e, f, g, h] = *p;
            (u32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]))
        };
        Ok(Self {
            phase: *phase,
            is_cut: header.flags() & CUT != 0,
            label: u32::from_le_bytes(head.label),
            score: f32::from_le_bytes(head.score),
            exit: if site == FINAL_SITE { Exit::Final } else { Exit::Site(usize::from(site)) },
            depth: f32::from_le_bytes(head.depth),
            queue_us: u32::from_le_bytes(head.queue_us),
            compute_us: u32::from_le_bytes(head.compute_us),
            threshold_version: u64::from_le_bytes(head.threshold_version),
            top: pairs.iter().map(pair).collect(),
        })
    }
}

impl Failure {
    /// With a message.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, retry_after_ms: 0, message: message.into() }
    }

    fn encode(&self, request: u64, out: &mut Vec<u8>) {
        let head = FailureHead {
            status: self.status.code().to_le_bytes(),
            reserved: [0; 2],
            retry_after_ms: self.retry_after_ms.to_le_bytes(),
        };
        let payload_bytes = size_of::<FailureHead>() + self.message.len();
        let header = Header::new(Kind::Failure, request, payload_bytes);
        append(out, header, bytemuck::bytes_of(&head));
        out.extend_from_slice(self.message.as_bytes());
    }

    fn decode(payload: &[u8]) -> Result<Self, String> {
        let Some((head, message)) = payload.split_at_checked(size_of::<FailureHead>()) else {
            return Err(format!("a failure of {} bytes", payload.len()));
        };
        let head: FailureHead = bytemuck::pod_read_unaligned(head);
        let code = u16::from_le_bytes(head.status);
        let status = Status::of(code).ok_or_else(|| format!("unknown status {code}"))?;
        let retry_after_ms = u32::from_le_bytes(head.retry_after_ms);
        Ok(Self { status, retry_after_ms, message: utf8(message)? })
    }
}

fn append(out: &mut Vec<u8>, header: Header, payload: &[u8]) {
    out.extend_from_slice(bytemuck::bytes_of(&header));
    out.extend_from_slice(payload);
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| format!("not UTF-8: {error}"))
}
