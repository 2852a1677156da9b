//! Small kernels over one array of words.

use offramp_ptxsim::{Chip, Contents, Counts, Fault, FaultKind, Launch, Memory, Module, launch};

/// A kernel `k` of one pointer, in `%rd1`, with `%r1` the thread and `%r2` the block.
pub(crate) fn kernel(body: &str) -> String {
    format!(
        ".version 8.5\n.target sm_80\n.address_size 64\n\
         .extern .shared .align 16 .b8 dynamic[];\n\
         .visible .entry k(.param .u64 k_p0)\n{{\n\
         .reg .pred %p<20>;\n.reg .b16 %rs<20>;\n.reg .b32 %r<60>;\n.reg .f32 %f<60>;\n\
         .reg .b64 %rd<30>;\n.reg .f64 %fd<10>;\n.shared .align 16 .b8 buffer[8192];\n\
         .loc 1 7 0\n\
         ld.param.u64 %rd1, [k_p0];\ncvta.to.global.u64 %rd1, %rd1;\n\
         mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\n{body}\nret;\n}}\n\
         .file 1 \"kernel.cu\"\n"
    )
}

/// Runs `body` with `blocks` blocks of `threads` over a copy of `words`.
pub(crate) fn run_grid(
    body: &str,
    blocks: u32,
    threads: u32,
    words: &[u32],
) -> Result<(Vec<u32>, Counts), Fault> {
    run_on(Chip::default(), body, [blocks, threads], words)
}

/// [`run_grid`] on a chip.
pub(crate) fn run_on(
    chip: Chip,
    body: &str,
    [blocks, threads]: [u32; 2],
    words: &[u32],
) -> Result<(Vec<u32>, Counts), Fault> {
    let module = Module::parse("test", &kernel(body)).unwrap_or_else(|error| panic!("{error}"));
    let memory = Memory::new();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let address = memory.alloc(bytes.len() as u64, Contents::Undefined).expect("memory");
    memory.write(address, &bytes).expect("a block");
    let counts = launch(
        &memory,
        &Launch {
            kernel: module.kernel("k").expect("k"),
            grid: [blocks, 1, 1],
            block: [threads, 1, 1],
            dynamic_shared_bytes: 256,
            params: &address.to_le_bytes(),
            is_early: false,
            chip,
        },
    )?;
    let mut out = vec![0; bytes.len()];
    memory.read(address, &mut out).expect("a block");
    let words = out.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("4")));
    Ok((words.collect(), counts))
}

/// One warp.
pub(crate) fn run(body: &str, words: &[u32]) -> Vec<u32> {
    run_grid(body, 1, 32, words).unwrap_or_else(|fault| panic!("{fault}")).0
}

/// The kind of fault `body` gives with 64 threads over 256 zeros.
pub(crate) fn fault(body: &str) -> Fault {
    run_grid(body, 1, 64, &[0; 256]).expect_err("a fault")
}

/// Fails unless `body` gives a fault of this kind with a source.
pub(crate) fn expect(kind: FaultKind, body: &str) {
    let fault = fault(body);
    assert_eq!(fault.kind, kind, "{fault}");
    assert!(fault.line > 0 && fault.source == Some(("kernel.cu".into(), 7)), "{fault}");
}

/// The code that stores `%r9` at word `%r1`.
pub(crate) const STORE: &str =
    "mul.wide.u32 %rd9, %r1, 4; add.s64 %rd9, %rd1, %rd9; st.global.u32 [%rd9], %r9;";

/// The code that leaves the address of word `%r1` in `%rd8`.
pub(crate) const AT: &str = "mul.wide.u32 %rd8, %r1, 4; add.s64 %rd8, %rd1, %rd8;";
