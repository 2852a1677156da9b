//! One block takes one row from its tokens to its record.

use super::{Decision, Pool, Ramp};
use crate::cuda::{Address, CudaDevice, Kernel, Launch, Reserved, parameters};
use crate::{Error, LiveBound, Result, RowTokens};

parameters! {
    /// `ramp.cu`
    struct RampParameters for Ramp in ramp_signature {
        x: u64,
        x_map: u64,
        offsets: u64,
        slots: u64,
        live: u64,
        settings: u64,
        thresholds: u64,
        states: u64,
        records: u64,
        logits: u64,
        hidden_weight: u64,
        hidden_bias: u64,
        hidden: u32,
        hidden_activation: u32,
        head_weight: u64,
        head_bias: u64,
        classes: u32,
        width: u32,
        pool: u32,
        exit: u32,
        is_final: u32,
        logits_stride: u32,
        row_vectors: u32,
        decision: u32,
        tolerance: f32,
        moments: u64,
        eps: f32,
        scale: u64,
        shift: u64,
    }
}

/// The layer norm that a ramp takes over, as the kernel takes it; all 0 where there is none.
#[derive(Default)]
struct NormArguments {
    moments: Address,
    eps: f32,
    scale: Address,
    shift: Address,
}

/// Weights of the layers inside a ramp; 0 where there is none.
struct Layers {
    hidden: [Address; 2],
    head: [Address; 2],
}

impl Ramp {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let shared_bytes = self.shared_bytes();
        device.check_shared(Kernel::Ramp, shared_bytes)?;
        let layers = self.layers(device)?;
        device.settle_exit(self.exit)?;
        let (x, cover) = (device.value(self.x)?, device.cover(bound)?);
        let reserved = device.reserved()?;
        if reserved.rows.vectors(self.tokens)? == 0 {
            return Err(Error::mismatch("ramp", "rows of at least one token", 0));
        }
        if cover.rows == 0 {
            return Ok(());
        }
        let members = reserved.rows.slots.running_members();
        reserved.exits.open(self.exit, members, self.logits())?;
        let (rows, exits) = (&reserved.rows, &reserved.exits);
        let table = rows.table()?;
        let row_vectors = match self.tokens {
            RowTokens::Own => 0,
            RowTokens::Each(each) => each as u32,
        };
        let (decision, tolerance) = self.decision();
        let norm = self.norm_arguments(reserved)?;
        let arguments = RampParameters {
            x: x.at,
            x_map: x.map,
            offsets: table.offsets,
            slots: table.slots,
            live: table.live,
            settings: rows.settings_address()?,
            thresholds: rows.thresholds_address()?,
            states: rows.states_address(),
            records: exits.records_address(self.exit),
            logits: exits.logits_address(self.exit),
            hidden_weight: layers.hidden[0],
            hidden_bias: layers.hidden[1],
            hidden: self.hidden.as_ref().map_or(0, |hidden| hidden.n as u32),
            hidden_activation: self.hidden.as_ref().map_or(0, |h| h.activation.number()),
            head_weight: layers.head[0],
            head_bias: layers.head[1],
            classes: self.head.as_ref().map_or(0, |head| head.classes as u32),
            width: self.width as u32,
            pool: match self.pool {
                Pool::First => 0,
                Pool::Mean => 1,
                Pool::Last => 2,
            },
            exit: self.exit.0,
            is_final: exits.is_final(self.exit).into(),
            logits_stride: exits.stride() as u32,
            row_vectors,
            decision,
            tolerance,
            moments: norm.moments,
            eps: norm.eps,
            scale: norm.scale,
            shift: norm.shift,
        };
        let (kernel, grid) = (Kernel::Ramp, [cover.rows as u32, 1, 1]);
        let shared_bytes = shared_bytes as u32;
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }

    fn norm_arguments(&self, reserved: &Reserved) -> Result<NormArguments> {
        let Some(norm) = &self.norm else { return Ok(NormArguments::default()) };
        Ok(NormArguments {
            moments: reserved.moments(norm.standard.moments),
            eps: norm.standard.eps,
            scale: reserved.weights.vector(norm.scale, self.width)?,
            shift: reserved.weights.vector(norm.shift, self.width)?,
        })
    }

    fn layers(&self, device: &mut CudaDevice) -> Result<Layers> {
        let weights = &device.reserved()?.weights;
        let mut layers = Layers { hidden: [0; 2], head: [0; 2] };
        if let Some(hidden) = &self.hidden {
            layers.hidden = [
                weights.matrix(hidden.weight, hidden.n, self.width)?,
                weights.vector(hidden.bias, hidden.n)?,
            ];
        }
        if let Some(head) = &self.head {
            layers.head = [
                weights.matrix(head.weight, head.classes, self.features())?,
                weights.vector(head.bias, head.classes)?,
            ];
        }
        Ok(layers)
    }

    /// `enum Decision` in ramp.cu, and the tolerance of numbers.
    fn decision(&self) -> (u32, f32) {
        match self.head.as_ref().map_or(Decision::Class, |head| head.decision) {
            Decision::Class => (0, 0.0),
            Decision::Labels => (1, 0.0),
            Decision::Value { tolerance } => (2, tolerance),
        }
    }

    /// Pooled vector, hidden layer and logits, and room for sums over the warps.
    fn shared_bytes(&self) -> usize {
        let hidden = self.hidden.as_ref().map_or(0, |hidden| hidden.n);
        let classes = self.head.as_ref().map_or(1, |head| head.classes);
        (self.width + hidden + classes + 64) * size_of::<f32>()
    }
}
