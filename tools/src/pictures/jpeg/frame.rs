//! The headers of a JPEG that say how its data are laid out. (ITU-T T.81, annex B.)

use super::codes::Codes;
use super::standard;

/// Coefficients of a block.
const BLOCK: usize = 64;

/// A colour, or the light, of a picture.
pub(super) struct Component {
    id: u8,
    /// Blocks of one unit, across and down.
    pub(super) unit: [usize; 2],
    /// Blocks that hold pixels.
    pub(super) blocks: [usize; 2],
    /// Blocks of a line, with those that fill the last unit.
    pub(super) stride: usize,
    /// By block: which coefficients are not zero. Progressive pictures alone need that.
    pub(super) not_zero: Vec<u64>,
    /// By coefficient: bits that are still to come; none: it has not begun.
    lows: [Option<u8>; BLOCK],
}

impl Component {
    /// Whether all coefficients have come, to their last bit.
    pub(super) fn is_done(&self) -> bool {
        self.lows.iter().all(|low| *low == Some(0))
    }

    /// Begins a scan; none where it is out of turn: a coefficient begins once, and each further
    /// scan brings one bit. So there cannot be scans without end. (T.81, G.1.1.1.)
    pub(super) fn begin(&mut self, scan: &Scan) -> Option<()> {
        let [first, last] = scan.band;
        let before = scan.refines.then_some(scan.low + 1);
        let lows = self.lows.get_mut(first..=last)?;
        if lows.iter().any(|low| *low != before) {
            return None;
        }
        lows.fill(Some(scan.low));
        Some(())
    }
}

/// A picture's layout.
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    /// Units across and down.
    pub(super) units: [usize; 2],
    pub(super) components: Vec<Component>,
}

impl Frame {
    /// Of what is in a frame header; none where it is damaged, or of another size.
    pub(super) fn parse(data: &[u8], sides: [usize; 2], is_progressive: bool) -> Option<Self> {
        let (head, rest) = data.split_first_chunk::<6>()?;
        let told = [[head[3], head[4]], [head[1], head[2]]].map(u16::from_be_bytes);
        if told.map(usize::from) != sides || sides.contains(&0) {
            return None;
        }
        let told: Vec<[u8; 3]> = rest.as_chunks().0.iter().take(head[5].into()).copied().collect();
        let unit = |told: &[u8; 3]| [told[1] >> 4, told[1] & 15].map(usize::from);
        let most = |side: usize| told.iter().map(|told| unit(told)[side]).max().unwrap_or(0);
        let most = [most(0), most(1)];
        let fits = told.iter().flat_map(unit).all(|side| (1..=4).contains(&side));
        if !fits || told.is_empty() || told.len() != usize::from(head[5]) {
            return None;
        }
        let units = [0, 1].map(|side| sides[side].div_ceil(8 * most[side]));
        let component = |told: &[u8; 3]| {
            let unit = unit(told);
            let size = [0, 1].map(|side| (sides[side] * unit[side]).div_ceil(most[side]));
            let stride = units[0] * unit[0];
            let held = if is_progressive { stride * units[1] * unit[1] } else { 0 };
            let (blocks, not_zero) = (size.map(|size| size.div_ceil(8)), vec![0; held]);
            Component { id: told[0], unit, blocks, stride, not_zero, lows: [None; BLOCK] }
        };
        Some(Self { is_progressive, units, components: told.iter().map(component).collect() })
    }
}

/// A component in a scan.
pub(super) struct Part {
    /// Its place in the frame.
    pub(super) place: usize,
    /// Its tables for means and for other coefficients.
    pub(super) tables: [usize; 2],
}

/// One pass over some of the components.
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    /// First and last coefficient.
    pub(super) band: [usize; 2],
    /// Whether coefficients came before, less these bits.
    pub(super) refines: bool,
    /// Bits that are still to come.
    pub(super) low: u8,
}

impl Scan {
    /// Of what is in a scan header; none where it is damaged, or not of this frame.
    pub(super) fn parse(data: &[u8], frame: &Frame) -> Option<Self> {
        let (count, rest) = data.split_first()?;
        let (told, rest) = rest.split_at_checked(2 * usize::from(*count))?;
        let [first, last, bits] = *rest.first_chunk::<3>()?;
        let part = |told: &[u8; 2]| {
            let place = frame.components.iter().position(|it| it.id == told[0])?;
            Some(Part { place, tables: [told[1] >> 4, told[1] & 15].map(usize::from) })
        };
        let parts = told.as_chunks().0.iter().map(part).collect::<Option<Vec<_>>>()?;
        let band = match frame.is_progressive {
            true => [first, last].map(usize::from),
            false => [0, BLOCK - 1],
        };
        let fits = band[0] <= band[1] && band[1] < BLOCK && (1..=4).contains(count);
        // Other coefficients than the mean come one component at a time.
        let is_alone = !frame.is_progressive || band == [0, 0] || (band[0] > 0 && *count == 1);
        let low = if frame.is_progressive { bits & 15 } else { 0 };
        let refines = frame.is_progressive && bits >> 4 > 0;
        (fits && is_alone).then_some(Self { parts, band, refines, low })
    }
}

/// Tables of codes: of means, and of other coefficients.
#[derive(Default)]
pub(super) struct Tables(pub(super) [[Option<Codes>; 4]; 2]);

impl Tables {
    /// Takes what is in a header of tables; none where that is damaged.
    pub(super) fn take(&mut self, mut data: &[u8]) -> Option<()> {
        while let Some((place, rest)) = data.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let length = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(length)?;
            let of_kind = self.0.get_mut(usize::from(place >> 4))?;
            *of_kind.get_mut(usize::from(place & 15))? = Some(Codes::new(counts, symbols)?);
            data = rest;
        }
        Some(())
    }

    /// Puts the standard tables where there are none.
    pub(super) fn fill(&mut self) -> Option<()> {
        let mut standard = Self::default();
        standard.take(&standard::TABLES)?;
        for (own, other) in self.0.iter_mut().flatten().zip(standard.0.into_iter().flatten()) {
            if own.is_none() {
                *own = other;
            }
        }
        Some(())
    }
}
