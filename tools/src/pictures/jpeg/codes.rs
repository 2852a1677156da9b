//! Huffman codes, and the bits that they are read from.

/// Bits that are looked up at once; longer codes are rare.
const LOOKED_UP: u32 = 9;
/// Length of the longest code.
const LONGEST: u32 = 16;

/// Codes of one table.
pub(super) struct Codes {
    /// By the first bits: a code's length and its symbol, or length 0.
    short: Vec<(u8, u8)>,
    /// By length: the code behind the last one, moved up to 16 bits.
    ends: [u32; LONGEST as usize + 1],
    /// By length: what is to be added to a code to have its place in `symbols`.
    shifts: [i32; LONGEST as usize + 1],
    symbols: Vec<u8>,
}

impl Codes {
    /// So many codes of each length, with their symbols; none where they are no such codes.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut codes = Self {
            short: vec![(0, 0); 1 << LOOKED_UP],
            ends: [0; LONGEST as usize + 1],
            shifts: [0; LONGEST as usize + 1],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, count) in (1..=LONGEST).zip(counts) {
            codes.shifts[length as usize] = place as i32 - code as i32;
            for _ in 0..*count {
                codes.look_up(code, length, *symbols.get(place)?);
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            codes.ends[length as usize] = code << (LONGEST - length);
            code <<= 1;
        }
        Some(codes)
    }

    fn look_up(&mut self, code: u32, length: u32, symbol: u8) {
        if length <= LOOKED_UP {
            let first = (code << (LOOKED_UP - length)) as usize;
            let all = first..first + (1 << (LOOKED_UP - length));
            self.short
                .get_mut(all)
                .into_iter()
                .flatten()
                .for_each(|it| *it = (length as u8, symbol));
        }
    }

    /// The symbol of the code that begins these 16 bits, and the code's length.
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, symbol) = self.short[(bits >> (LONGEST - LOOKED_UP)) as usize];
        if length > 0 {
            return Some((u32::from(length), symbol));
        }
        let length = (LOOKED_UP + 1..=LONGEST).find(|at| bits < self.ends[*at as usize])?;
        let code = (bits >> (LONGEST - length)) as i32;
        let place = usize::try_from(code + self.shifts[length as usize]).ok()?;
        self.symbols.get(place).map(|symbol| (length, *symbol))
    }
}

/// Why bits could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There are none left in front of the next marker.
    Marker,
    /// There are none left at all.
    End,
    /// They are no code.
    NoCode,
}

/// Entropy-coded bits up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Of the next byte.
    at: usize,
    /// Bits at hand, the next one on top.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let (byte, length) = match self.bytes.get(self.at..) {
                Some([0xff, 0, ..]) => (0xff, 2),
                Some([0xff, ..] | []) | None => return,
                Some([byte, ..]) => (*byte, 1),
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }

    /// The next bits, up to 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if self.count < count {
            self.fill();
        }
        if self.count < count {
            return Err(self.no_more());
        }
        let bits = (self.held >> (64 - LONGEST)) as u32 >> (LONGEST - count.min(LONGEST));
        self.held <<= count;
        self.count -= count;
        Ok(bits)
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, codes: &Codes) -> Result<u8, Fault> {
        if self.count < LONGEST {
            self.fill();
        }
        // What is not there counts as zeros, and the code that they would make ends too far.
        let found = codes.find((self.held >> (64 - LONGEST)) as u32);
        let (length, symbol) = match found {
            Some(found) => found,
            None if self.count < LONGEST => return Err(self.no_more()),
            None => return Err(Fault::NoCode),
        };
        self.take(length).map(|_| symbol)
    }

    fn no_more(&self) -> Fault {
        if self.at + 1 < self.bytes.len() { Fault::Marker } else { Fault::End }
    }

    /// Leaves bits that pad the last byte, and bytes that are none of ours, for the next marker:
    /// its place and its kind.
    pub(super) fn marker(&mut self) -> Option<(usize, u8)> {
        self.held = 0;
        self.count = 0;
        loop {
            match self.bytes.get(self.at..)? {
                [0xff, kind @ 1..=0xfe, ..] => return Some((self.at, *kind)),
                [] => return None,
                _ => self.at += 1,
            }
        }
    }

    /// Goes on behind the marker that is next.
    pub(super) fn pass_marker(&mut self) {
        self.at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0` is 7, `10` is 8, `110` is 9, and `1110000000` is 5.
    fn codes() -> Codes {
        let mut counts = [0; 16];
        [counts[0], counts[1], counts[2], counts[9]] = [1, 1, 1, 1];
        Codes::new(&counts, &[7, 8, 9, 5]).unwrap()
    }

    #[test]
    fn codes_are_read_up_to_the_marker_and_not_behind() {
        // 0 10 110 1110000000, 0 ... then a stuffed byte, of which 8 ones are no code.
        let bytes = [0b0101_1011, 0b1000_0000, 0xff, 0, 0xff, 0xd9];
        let mut bits = Bits::new(&bytes, 0);
        let found: Vec<_> = (0..4).map(|_| bits.symbol(&codes()).unwrap()).collect();
        assert_eq!(found, [7, 8, 9, 5]);
        assert_eq!(bits.take(8), Ok(0xff));
        let none = (bits.take(1), bits.symbol(&codes()));
        assert_eq!(none, (Err(Fault::Marker), Err(Fault::Marker)));
        assert_eq!(bits.marker(), Some((4, 0xd9)));
    }

    #[test]
    fn what_is_no_code_is_told_from_what_is_not_there() {
        let bytes = [0xf0, 0x0f, 0x12, 0x34];
        assert_eq!(Bits::new(&bytes, 0).symbol(&codes()), Err(Fault::NoCode));
        assert_eq!(Bits::new(&bytes[..1], 0).symbol(&codes()), Err(Fault::End));
        assert!(Codes::new(&[3; 16], &[0; 48]).is_none(), "too many codes of one bit");
        assert!(Codes::new(&[1; 16], &[0; 5]).is_none(), "codes without symbols");
    }
}
