//! A vision transformer, served: an image is as many tokens as the model makes of it.

use offramp::{Answer, Engine, Exits, Limits, Model, PassSettings, Score, Shape, probabilities};
use offramp_protocol::{Infer, InferOptions, Input, Status};
use offramp_serve::{Exiting, Served, Service, ServiceOptions};
use offramp_tests::golden_images_dir;
use offramp_tests::models::{bundle, random_dense};
use offramp_tune::profile::ShapeProfile;
use offramp_tune::sched::Policy;
use offramp_weights::{Pool, Ramp};

use crate::support::{count_of, engine};

/// Images of 32 x 40 in patches of 8 x 8, behind a class token.
const TOKENS: usize = 21;

/// As many images, though no more tokens than one and a half have.
const LIMITS: Limits = Limits { rows_max: 4, tokens_max: 30 };

/// `vit-timm` with a random ramp that lets everybody out.
fn model() -> Model {
    let mut model = Model::open(golden_images_dir().join("vit-timm")).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    let head = random_dense(model.spec().classes(), model.spec().site_width(0), 0.5, &mut rng);
    let ramp = Ramp { site: 0, pool: Pool::Mean, hidden: None, head };
    let bundle = bundle(&model, vec![ramp]);
    model.set_ramps(Some(bundle));
    model
}

fn exits(engine: &Engine) -> Exits {
    Exits::uniform(engine.plan(), Score::Confidence, 0.0).unwrap()
}

/// Where `change` has its way with what was measured.
fn service(policy: Policy, change: impl Fn(&mut ShapeProfile)) -> Service {
    let model = model();
    let mut engine = engine(&model, LIMITS);
    let mut shape = ShapeProfile::measure(&mut engine, Shape { rows: 1, tokens: 8 }, 3).unwrap();
    assert_eq!(shape.row_tokens, TOKENS, "whatever was asked for");
    change(&mut shape);
    let exiting = Exiting::Fixed(exits(&engine));
    let served = Served { model, engine, exiting, shapes: vec![shape] };
    let options = ServiceOptions { policy, ..ServiceOptions::default() };
    Service::start(served, &options).unwrap()
}

fn images() -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(9);
    (0..LIMITS.rows_max).map(|_| (0..32 * 40 * 3).map(|_| rng.u8(..)).collect()).collect()
}

fn infer(pixels: &[u8], options: InferOptions) -> Infer<'_> {
    Infer { input: Input::Image(pixels), options }
}

fn drain(service: Service) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(service.drain()).unwrap();
}

/// By class, from the engine itself.
fn expected(pixels: &[u8], exits_off: bool) -> Vec<f32> {
    let model = model();
    let mut engine = engine(&model, LIMITS);
    let mut batch = engine.batch();
    batch.push_image(pixels).unwrap().unwrap();
    let exits = if exits_off { Exits::off(engine.plan()) } else { exits(&engine) };
    let mut logits = Vec::new();
    let settings = PassSettings::new(&exits, Default::default());
    engine.run(&batch, &settings, &mut |a: Answer<'_>| logits = a.logits.to_vec()).unwrap();
    probabilities(engine.decision(), &logits)
}

#[test]
fn a_service_gives_the_answers_that_the_engine_gives() {
    let service = service(Policy::Deadline, |_| {});
    let handle = service.handle();
    for pixels in images() {
        for exits_off in [false, true] {
            let options = InferOptions {
                exits_off,
                top: 5,
                deadline_us: Some(30_000_000),
                ..InferOptions::default()
            };
            let verdict = handle.infer_blocking(&infer(&pixels, options)).unwrap().last;
            let expected = expected(&pixels, exits_off);
            assert_eq!(verdict.top.len(), expected.len());
            for (class, found) in verdict.top {
                assert_eq!(found, expected[class as usize], "class {class}, off: {exits_off}");
            }
        }
    }
    drain(service);
}

#[test]
fn a_deadline_is_weighed_by_the_tokens_of_an_image() {
    let service = service(Policy::Deadline, |shape| {
        shape.segment_us.fill(0.0);
        shape.segment_us[0] = 1e6;
    });
    let handle = service.handle();
    let pixels = &images()[0];
    let within = |deadline_us| {
        let options = InferOptions { deadline_us: Some(deadline_us), ..InferOptions::default() };
        handle.infer_blocking(&infer(pixels, options))
    };
    assert_eq!(within(500_000).unwrap_err().status, Status::DeadlineExpired, "of a second");
    assert!(within(20_000_000).is_ok());
    drain(service);
}

#[test]
fn a_batch_is_full_of_images_by_their_number() {
    let service = service(Policy::Window { delay_us: 60_000_000 }, |_| {});
    let handle = service.handle();
    let images = images();
    let ask = |pixels: &Vec<u8>| handle.infer(&infer(pixels, InferOptions::default()));
    let pending: Vec<_> = images.iter().map(ask).collect();
    assert!(pending.into_iter().all(|pending| pending.wait().is_ok()));
    let stats = handle.stats();
    let passes = (count_of(&stats, "/passes"), count_of(&stats, "/rows"));
    assert_eq!(passes, (1, LIMITS.rows_max), "{stats}");
    drain(service);
}
