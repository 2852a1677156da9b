//! One input to be run, and how.

use bytemuck::{Pod, Zeroable};

use super::header::{Header, Kind};

/// Header flags of [`Kind::Infer`].
mod flags {
    pub(crate) const EXITS_OFF: u16 = 1;
    pub(crate) const TWO_PHASE: u16 = 2;
    pub(crate) const TELL_CUT: u16 = 4;
    pub(crate) const ALL: u16 = 7;
}

/// No exit named.
const ANY: u16 = u16::MAX;

/// Tokens of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Kind of each token; empty means all 0.
    pub kinds: Vec<u16>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// A text, or a pair of texts, for the server's tokenizer.
    Text(&'a str, Option<&'a str>),
    /// Tokens of one row.
    Tokens(Tokens),
    /// An image of the model's own size: `[height, width, channels]`.
    Image(&'a [u8]),
    /// A picture of any size, for the server to resize.
    Picture {
        /// `[height, width, channels]`.
        shape: [u16; 3],
        /// A byte a value.
        pixels: &'a [u8],
    },
}

/// How to run it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InferOptions {
    /// Run to the end.
    pub exits_off: bool,
    /// Answer early, and confirm or correct once the end is known.
    pub two_phase: bool,
    /// Have [`Verdict::is_cut`](super::Verdict::is_cut) told.
    pub tell_cut: bool,
    /// Classes to list with their probabilities, the likeliest first; 0 lists none.
    pub top: u8,
    /// The first site that may answer.
    pub shallowest_site: Option<u16>,
    /// The site that answers whatever its score.
    pub deepest_site: Option<u16>,
    /// Least score of an early answer, in [0, 1].
    pub score_floor: f32,
    /// Microseconds from arrival within which an answer is of use.
    pub deadline_us: Option<u32>,
}

/// An infer request.
#[derive(Clone, Debug, PartialEq)]
pub struct Infer<'a> {
    /// What to run.
    pub input: Input<'a>,
    /// How.
    pub options: InferOptions,
}

/// What the payload begins with.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    input: u8,
    top: u8,
    shallowest: [u8; 2],
    deepest: [u8; 2],
    reserved: [u8; 2],
    score_floor: [u8; 4],
    /// Text: bytes of the first text, or `u32::MAX` where there is one only. Tokens: their number.
    extent: [u8; 4],
}

impl<'a> Infer<'a> {
    /// Reads a frame of kind infer. Whether its options make sense is up to whoever runs it.
    ///
    /// # Errors
    /// What is wrong with the payload, for people.
    pub fn decode(header: &Header, payload: &'a [u8]) -> Result<Self, String> {
        let Some((head, body)) = payload.split_at_checked(size_of::<Head>()) else {
            let expected = size_of::<Head>();
            return Err(format!("a payload of {} bytes, expected {expected}", payload.len()));
        };
        let head: Head = bytemuck::pod_read_unaligned(head);
        let options = options(header, &head)?;
        Ok(Self { input: input(&head, body)?, options })
    }

    /// Appends the frame.
    pub fn encode(&self, request: u64, out: &mut Vec<u8>) {
        let (kind, extent) = self.input.kind_and_extent();
        let options = &self.options;
        let site = |site: Option<u16>| site.unwrap_or(ANY).to_le_bytes();
        let head = Head {
            input: kind,
            top: options.top,
            shallowest: site(options.shallowest_site),
            deepest: site(options.deepest_site),
            reserved: [0; 2],
            score_floor: options.score_floor.to_le_bytes(),
            extent: extent.to_le_bytes(),
        };
        let flags = u16::from(options.exits_off) * flags::EXITS_OFF
            + u16::from(options.two_phase) * flags::TWO_PHASE
            + u16::from(options.tell_cut) * flags::TELL_CUT;
        let header = Header::new(Kind::Infer, request, size_of::<Head>() + self.input.bytes())
            .with_flags(flags)
            .with_deadline_us(options.deadline_us.unwrap_or(0));
        out.extend_from_slice(bytemuck::bytes_of(&header));
        out.extend_from_slice(bytemuck::bytes_of(&head));
        self.input.append_to(out);
    }
}

fn options(header: &Header, head: &Head) -> Result<InferOptions, String> {
    let given = header.flags();
    let unknown = given & !flags::ALL;
    let score_floor = f32::from_le_bytes(head.score_floor);
    let site = |site: [u8; 2]| Some(u16::from_le_bytes(site)).filter(|&site| site != ANY);
    if unknown != 0 || head.reserved != [0; 2] {
        return Err(format!("unknown flags {unknown:#x} or reserved bytes in use"));
    }
    Ok(InferOptions {
        exits_off: given & flags::EXITS_OFF != 0,
        two_phase: given & flags::TWO_PHASE != 0,
        tell_cut: given & flags::TELL_CUT != 0,
        top: head.top,
        shallowest_site: site(head.shallowest),
        deepest_site: site(head.deepest),
        score_floor,
        deadline_us: header.deadline_us(),
    })
}

fn input<'a>(head: &Head, body: &'a [u8]) -> Result<Input<'a>, String> {
    let extent = u32::from_le_bytes(head.extent);
    match head.input {
        0 => text(extent, body),
        1 => tokens(extent as usize, body),
        2 => Ok(Input::Image(body)),
        3 => picture(body),
        other => Err(format!("input kind {other}, expected 0 to 3")),
    }
}

fn text(extent: u32, body: &[u8]) -> Result<Input<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("not UTF-8: {error}"))?;
    if extent == u32::MAX {
        return Ok(Input::Text(text, None));
    }
    let pair = text.split_at_checked(extent as usize);
    let (text, pair) = pair.ok_or_else(|| {
        format!(
            "the second text begins at byte {extent}, expected a letter's begin in {}",
            body.len()
        )
    })?;
    Ok(Input::Text(text, Some(pair)))
}

/// Ids of 4 bytes, then no kinds or one of 2 bytes for each.
fn tokens(count: usize, body: &[u8]) -> Result<Input<'_>, String> {
    let (plain, with_kinds) = (count.checked_mul(4), count.checked_mul(6));
    if Some(body.len()) != plain && Some(body.len()) != with_kinds {
        return Err(format!("{count} tokens in {} bytes, expected 4 or 6 each", body.len()));
    }
    let (ids, kinds) = body.split_at(count * 4);
    let ids = ids.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect();
    let kinds = kinds.as_chunks().0.iter().map(|&kind| u16::from_le_bytes(kind)).collect();
    Ok(Input::Tokens(Tokens { ids, kinds }))
}

fn picture(body: &[u8]) -> Result<Input<'_>, String> {
    let fail = || format!("a picture in {} bytes that does not fit its shape", body.len());
    let (shape, pixels) = body.split_at_checked(6).ok_or_else(fail)?;
    let side = |at: usize| u16::from_le_bytes([shape[at], shape[at + 1]]);
    let shape = [side(0), side(2), side(4)];
    let expected: u64 = shape.iter().map(|&side| u64::from(side)).product();
    if expected != pixels.len() as u64 {
        return Err(fail());
    }
    Ok(Input::Picture { shape, pixels })
}

impl Input<'_> {
    fn kind_and_extent(&self) -> (u8, u32) {
        match self {
            Self::Text(_, None) => (0, u32::MAX),
            Self::Text(text, Some(_)) => (0, text.len() as u32),
            Self::Tokens(row) => (1, row.ids.len() as u32),
            Self::Image(_) => (2, 0),
            Self::Picture { .. } => (3, 0),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text, pair) => text.len() + pair.map_or(0, str::len),
            Self::Tokens(row) => row.ids.len() * 4 + row.kinds.len() * 2,
            Self::Image(pixels) => pixels.len(),
            Self::Picture { pixels, .. } => 6 + pixels.len(),
        }
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text, pair) => {
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(pair.unwrap_or("").as_bytes());
            }
            Self::Tokens(row) => {
                out.extend(row.ids.iter().flat_map(|id| id.to_le_bytes()));
                out.extend(row.kinds.iter().flat_map(|kind| kind.to_le_bytes()));
            }
            Self::Image(pixels) => out.extend_from_slice(pixels),
            Self::Picture { shape, pixels } => {
                out.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
                out.extend_from_slice(pixels);
            }
        }
    }
}
