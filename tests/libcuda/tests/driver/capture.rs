//! Recording graphs and launching them.

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUresult, CUstreamCaptureMode};

use crate::support::{Gate, Pinned, Session, alloc, check, code, download, scale, upload};

const MODE: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

fn flags() -> CUgraphInstantiate_flags {
    CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH
}

#[test]
fn a_graph_replays_what_was_recorded() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    let (input, output) = (Pinned::new(8), Pinned::new(8));
    let device = alloc(32);
    input.set(2f32.to_bits());

    session.counts();
    stream.begin_capture(MODE).unwrap();
    check(upload(&stream, device, &input));
    // The parameters are taken at the call: this factor is gone when the graph runs.
    let mut factor = 3.0;
    scale(&stream, &kernel, device, 8, factor).unwrap();
    factor += 1.0;
    scale(&stream, &kernel, device, 8, factor).unwrap();
    check(download(&stream, &output, device));
    let graph = stream.end_capture(flags()).unwrap().unwrap();
    let counts = session.counts();
    assert_eq!((counts.captured, counts.launches, counts.async_copies), (4, 0, 0));
    assert_eq!(output.get(), [0; 8], "recording runs nothing");

    for value in [2f32, 5.0] {
        input.set(value.to_bits());
        graph.launch().unwrap();
        stream.synchronize().unwrap();
        assert_eq!(output.get(), [(value * 12.0).to_bits(); 8]);
    }
    assert_eq!((session.counts().graph_launches, nodes(graph.cu_graph())), (2, 4));
}

fn nodes(graph: sys::CUgraph) -> usize {
    let mut count = 0;
    // SAFETY: a null list asks for the count alone.
    check(unsafe { sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut count) });
    count
}

#[test]
fn a_graph_launch_returns_at_once() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let output = Pinned::new(1);
    let device = alloc(4);
    stream.begin_capture(MODE).unwrap();
    // SAFETY: the device holds a word.
    check(unsafe { sys::cuMemsetD32Async(device, 6, 1, stream.cu_stream()) });
    check(download(&stream, &output, device));
    let graph = stream.end_capture(flags()).unwrap().unwrap();
    let gate = Gate::close(&session, &stream);
    graph.upload().unwrap();
    graph.launch().unwrap();
    assert_eq!((output.get(), gate.state()), (vec![0], 1));
    gate.open();
    stream.synchronize().unwrap();
    assert_eq!(output.get(), [6]);
}

#[test]
fn waiting_and_allocating_spoil_a_capture() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let unsupported = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    let forbidden: [(&str, &dyn Fn() -> CUresult); 5] = [
        ("stream", &|| code(stream.synchronize())),
        ("context", &|| code(session.context.synchronize())),
        // SAFETY: nothing is allocated.
        ("alloc", &|| code(unsafe { result::malloc_sync(64) })),
        // SAFETY: as above.
        ("alloc async", &|| code(unsafe { result::malloc_async(stream.cu_stream(), 64) })),
        // SAFETY: as above.
        ("pinned", &|| code(unsafe { result::malloc_host(64, 0) })),
    ];
    for (what, call) in forbidden {
        stream.begin_capture(MODE).unwrap();
        assert_eq!(call(), unsupported, "{what}");
        let ended = code(stream.end_capture(flags()));
        assert_eq!(ended, CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "{what}");
    }
    stream.synchronize().unwrap();
}

#[test]
fn a_second_stream_joins_through_events() {
    let session = Session::begin();
    let (first, second) =
        (session.context.new_stream().unwrap(), session.context.new_stream().unwrap());
    let output = Pinned::new(2);
    let device = alloc(8);
    first.begin_capture(MODE).unwrap();
    // SAFETY: the device holds two words.
    check(unsafe { sys::cuMemsetD32Async(device, 1, 2, first.cu_stream()) });
    second.join(&first).unwrap();
    // SAFETY: as above.
    check(unsafe { sys::cuMemsetD32Async(device + 4, 2, 1, second.cu_stream()) });
    first.join(&second).unwrap();
    check(download(&first, &output, device));
    let graph = first.end_capture(flags()).unwrap().unwrap();
    graph.launch().unwrap();
    first.synchronize().unwrap();
    assert_eq!(output.get(), [1, 2]);
    // The second stream is a stream like any other again.
    second.synchronize().unwrap();
}

#[test]
fn a_fault_in_a_graph_ends_the_context() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let (kernel, output) = (session.kernel("scale"), Pinned::new(1));
    let device = alloc(4);
    stream.begin_capture(MODE).unwrap();
    scale(&stream, &kernel, device, 1, 2.0).unwrap();
    check(download(&stream, &output, device));
    let graph = stream.end_capture(flags()).unwrap().unwrap();
    graph.launch().unwrap();
    assert_eq!(code(stream.synchronize()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(code(graph.launch()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
}

#[test]
fn captures_begin_and_end_in_pairs() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_STATE;
    assert_eq!(code(stream.end_capture(flags())), illegal);
    stream.begin_capture(MODE).unwrap();
    assert_eq!(code(stream.begin_capture(MODE)), illegal);
    let pageable = [1u32];
    let device = 0x1000;
    // SAFETY: the address is refused.
    let copy = unsafe { result::memcpy_htod_async(device, &pageable, stream.cu_stream()) };
    assert_eq!(code(copy), CUresult::CUDA_ERROR_INVALID_VALUE);
    let graph = stream.end_capture(flags()).unwrap().unwrap();
    assert_eq!(nodes(graph.cu_graph()), 0);
    let default = session.context.default_stream();
    assert_eq!(code(default.begin_capture(MODE)), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}
