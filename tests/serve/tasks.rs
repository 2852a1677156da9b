//! What a verdict holds where a model decides sets of labels, or a number.

use offramp::{Answer, Exits, Limits, Model, PassSettings, Score, Shape, probabilities};
use offramp_client::{Client, Connection, RetryOptions};
use offramp_protocol::{Infer, InferOptions, Input, Kind, Phase, Reply, Tokens, Verdict};
use offramp_serve::{Exiting, ServeOptions, Served, Server};
use offramp_tests::golden_dir;
use offramp_tests::models::{bundle, random_dense, with_task};
use offramp_tune::profile::ShapeProfile;
use offramp_weights::{Pool, Ramp};
use serde_json::json;

use crate::support::{any_port, engine};

const LIMITS: Limits = Limits { rows_max: 4, tokens_max: 64 };

/// `bert-cls` of another task, with a random ramp that lets everybody out.
fn model(problem: &str, classes: usize) -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    let keys = json!({ "problem_type": problem });
    with_task(&golden_dir().join("bert-cls"), dir.path(), &keys, classes).unwrap();
    let mut model = Model::open(dir.path()).unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    let head = random_dense(classes, model.spec().site_width(0), 0.5, &mut rng);
    let ramp = Ramp { site: 0, pool: Pool::Mean, hidden: None, head };
    let bundle = bundle(&model, vec![ramp]);
    model.set_ramps(Some(bundle));
    (dir, model)
}

fn start(model: Model) -> Server {
    let mut engine = engine(&model, LIMITS);
    let exits = Exits::uniform(engine.plan(), Score::Confidence, 0.0).unwrap();
    let shape = ShapeProfile::measure(&mut engine, Shape { rows: 1, tokens: 8 }, 3).unwrap();
    let served = Served { model, engine, exiting: Exiting::Fixed(exits), shapes: vec![shape] };
    Server::start(served, any_port(), None, &ServeOptions::default()).unwrap()
}

fn tokens() -> Tokens {
    Tokens { ids: vec![2, 17, 40, 9, 3], kinds: Vec::new() }
}

fn infer(options: InferOptions) -> Infer<'static> {
    Infer { input: Input::Tokens(tokens()), options }
}

/// Early and full logits, from the engine itself.
fn expected(model: &Model) -> [Vec<f32>; 2] {
    let mut engine = engine(model, LIMITS);
    let mut batch = engine.batch();
    batch.push(&tokens().ids, &[]).unwrap().unwrap();
    let plan = engine.plan();
    let both = [Exits::uniform(plan, Score::Confidence, 0.0).unwrap(), Exits::off(plan)];
    both.map(|exits| {
        let mut logits = Vec::new();
        let settings = PassSettings::new(&exits, Default::default());
        engine.run(&batch, &settings, &mut |a: Answer<'_>| logits = a.logits.to_vec()).unwrap();
        logits
    })
}

/// What the server says it decides.
fn task(connection: &mut Connection) -> String {
    let reply = connection.ask(Kind::Metadata).unwrap();
    let Reply::Json(metadata) = reply else { panic!("{reply:?}") };
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    metadata["task"].as_str().unwrap().to_owned()
}

fn near(verdict: &Verdict, expected: &[(u32, f32)]) {
    let same = |(a, b): (&(u32, f32), &(u32, f32))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6;
    let all = verdict.top.len() == expected.len();
    assert!(all && verdict.top.iter().zip(expected).all(same), "{verdict:?} {expected:?}");
}

#[test]
fn labels_come_with_a_sigmoid_each() {
    let (_dir, model) = model("multi_label_classification", 5);
    let [early, full] = expected(&model);
    let decision = model.decision(None).unwrap();
    let server = start(model);
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    assert_eq!(task(&mut connection), "labels");
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let sorted = |logits: &[f32], top: usize| {
        let mut pairs: Vec<(u32, f32)> = (0..).zip(probabilities(decision, logits)).collect();
        pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
        let held = pairs.iter().filter(|pair| pair.1 > 0.5).count();
        pairs.truncate(top.max(held));
        pairs
    };
    for top in [0, 1, 3, 255] {
        for (exits_off, logits) in [(true, &full), (false, &early)] {
            let options = InferOptions { exits_off, top, ..InferOptions::default() };
            let verdict = client.classify(&Input::Tokens(tokens()), options).unwrap();
            near(&verdict, &sorted(logits, usize::from(top)));
            let likeliest = sorted(logits, 1)[0];
            assert_eq!(verdict.label, likeliest.0);
            assert_eq!(verdict.held().count(), logits.iter().filter(|x| **x > 0.0).count());
            assert!((verdict.score - likeliest.1).abs() < 1e-6);
        }
    }
    server.drain().unwrap();
}

#[test]
fn a_number_comes_with_its_sigmoid_and_is_confirmed_within_the_tolerance() {
    let (_dir, model) = model("regression", 1);
    let [early, full] = expected(&model);
    let decision = model.decision(None).unwrap();
    let is_same = decision.agree(early[0].to_bits(), full[0].to_bits());
    let server = start(model);
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    for top in [0, 9] {
        let options = InferOptions { two_phase: true, top, ..InferOptions::default() };
        connection.send(&infer(options)).unwrap();
        for (logits, phase) in
            [(&early, Phase::Early), (&full, if is_same { Phase::Confirm } else { Phase::Correct })]
        {
            let (_, reply) = connection.receive().unwrap();
            let Reply::Verdict(verdict) = reply else { panic!("{reply:?}") };
            near(&verdict, &[(0, logits[0])]);
            assert!((verdict.value().unwrap() - logits[0]).abs() < 1e-6);
            assert_eq!((verdict.label, verdict.phase), (0, phase));
            assert!((verdict.score - probabilities(decision, logits)[0]).abs() < 1e-6);
        }
    }
    assert_eq!(task(&mut connection), "value");
    server.drain().unwrap();
}
