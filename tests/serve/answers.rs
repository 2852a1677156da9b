//! What comes over the wire is what the engine says.

use offramp::{Answer, Exits, Limits, Model, PassSettings, TokenRow};
use offramp_client::{Client, Connection, RetryOptions};
use offramp_protocol::{
    Exit, Infer, InferOptions, Input, Kind, Phase, Reply, Status, Tokens, Verdict,
};
use offramp_serve::ServeOptions;
use offramp_tests::shipped_dir;

use crate::support::{engine, questions, start, text};

/// Label and exit of each question, from the engine itself.
fn expected(questions: &[String]) -> Vec<(u32, String)> {
    let model = Model::open(shipped_dir()).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    let mut engine = engine(&model, Limits::default());
    let exits = Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap();
    let mut answer_to = |question: &String| {
        let row = tokenizer.encode(question, None).unwrap();
        let mut batch = engine.batch();
        batch.push(&row.ids, &row.kinds).unwrap().unwrap();
        let mut given = None;
        let settings = PassSettings::new(&exits, Default::default());
        let mut sink = |answer: Answer<'_>| given = Some((answer.label, answer.exit.to_string()));
        engine.run(&batch, &settings, &mut sink).unwrap();
        given.unwrap()
    };
    questions.iter().map(&mut answer_to).collect()
}

fn verdict(reply: Reply) -> Verdict {
    match reply {
        Reply::Verdict(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pipelined_requests_get_the_engines_answers() {
    let server = start(&ServeOptions::default());
    let questions = questions();
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let expected = expected(&questions);
    for (part, expected) in questions.chunks(100).zip(expected.chunks(100)) {
        let sent = part.iter().map(|question| connection.send(&text(question)).unwrap());
        let first = sent.min().unwrap();
        for _ in part {
            let (request, reply) = connection.receive().unwrap();
            let verdict = verdict(reply);
            let index = (request - first) as usize;
            let found = (verdict.label, verdict.exit.to_string());
            assert_eq!(found, expected[index], "{}", part[index]);
        }
    }
    server.drain().unwrap();
}

#[test]
fn a_text_that_was_cut_is_told_to_whoever_asks() {
    let server = start(&ServeOptions::default());
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let mut is_cut = |text: &str, pair, tell_cut| {
        let options = InferOptions { tell_cut, ..InferOptions::default() };
        client.classify(&Input::Text(text, pair), options).unwrap().is_cut
    };
    let long = "who wrote Hamlet ".repeat(40);
    assert!(is_cut(&long, None, true) && is_cut("who", Some(&long), true));
    assert!(!is_cut("who wrote Hamlet", None, true) && !is_cut(&long, None, false));
    let two_phase = InferOptions { two_phase: true, tell_cut: true, ..InferOptions::default() };
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let infer = Infer { input: Input::Text(&long, None), options: two_phase };
    connection.send(&infer).unwrap();
    loop {
        let (_, Reply::Verdict(verdict)) = connection.receive().unwrap() else { panic!() };
        assert!(verdict.is_cut, "{verdict:?}");
        if verdict.phase != Phase::Early {
            break;
        }
    }
    server.drain().unwrap();
}

#[test]
fn a_request_may_say_how_it_is_to_be_run() {
    let server = start(&ServeOptions::default());
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let input = Input::Text("Who wrote Hamlet?", None);
    let mut ask = |options| client.classify(&input, options).unwrap();
    let plain = InferOptions::default();
    assert_eq!(ask(plain).exit, Exit::Site(0));
    assert_eq!(ask(InferOptions { exits_off: true, ..plain }).exit, Exit::Final);
    let later = ask(InferOptions { shallowest_site: Some(1), ..plain });
    assert!(later.exit > Exit::Site(0), "{:?}", later.exit);
    assert_eq!(ask(InferOptions { score_floor: 1.0, ..plain }).exit, Exit::Final);
    let top = ask(InferOptions { top: 3, ..plain }).top;
    assert!(top.len() == 3 && top.is_sorted_by(|a, b| a.1 >= b.1) && top[0].0 == 3, "{top:?}");
    let ids = Model::open(shipped_dir()).unwrap().tokenizer().unwrap();
    let row: TokenRow = ids.encode("Who wrote Hamlet?", None).unwrap();
    let by_tokens =
        client.classify(&Input::Tokens(Tokens { ids: row.ids, kinds: row.kinds }), plain).unwrap();
    assert_eq!(by_tokens.label, 3);
    server.drain().unwrap();
}

#[test]
fn the_deepest_site_answers_whatever_its_score() {
    let server = start(&ServeOptions::default());
    let mut client = Client::new([server.address().to_string()], RetryOptions::default());
    let deepest = InferOptions { deepest_site: Some(0), ..InferOptions::default() };
    for question in questions().iter().take(100) {
        let verdict = client.classify(&Input::Text(question, None), deepest).unwrap();
        assert_eq!(verdict.exit, Exit::Site(0), "{question}");
    }
    server.drain().unwrap();
}

#[test]
fn in_two_phases_every_early_answer_is_confirmed_or_corrected() {
    let server = start(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    let options = InferOptions { two_phase: true, ..InferOptions::default() };
    let (mut early, mut corrected) = (0, 0);
    for question in questions() {
        connection.send(&Infer { input: Input::Text(&question, None), options }).unwrap();
        let first = verdict(connection.receive().unwrap().1);
        if first.phase == Phase::Final {
            continue;
        }
        assert_eq!(first.phase, Phase::Early);
        let second = verdict(connection.receive().unwrap().1);
        let is_same = first.label == second.label;
        assert_eq!(second.phase, if is_same { Phase::Confirm } else { Phase::Correct });
        assert_eq!(second.exit, Exit::Final);
        early += 1;
        corrected += usize::from(!is_same);
    }
    assert!(early > 600 && corrected < 10, "{early} early, {corrected} corrected");
    server.drain().unwrap();
}

#[test]
fn a_server_tells_what_it_is_and_refuses_what_it_cannot_read() {
    let server = start(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    assert_eq!(connection.ask(Kind::Ping).unwrap(), Reply::Pong(Vec::new()));
    assert_eq!(connection.ask(Kind::Ready).unwrap(), Reply::Done);
    let Reply::Json(metadata) = connection.ask(Kind::Metadata).unwrap() else { panic!() };
    assert!(metadata.contains("\"HUM\"") && metadata.contains("trec-questions"), "{metadata}");
    let unknown = Input::Tokens(Tokens { ids: vec![9_999_999], kinds: Vec::new() });
    let long = Input::Tokens(Tokens { ids: vec![1; 5000], kinds: Vec::new() });
    let cases = [
        (unknown, Status::BadInput),
        (long, Status::TooLarge),
        (Input::Image(&[0; 12]), Status::BadInput),
    ];
    for (input, expected) in cases {
        connection.send(&Infer { input, options: InferOptions::default() }).unwrap();
        let (_, Reply::Failure(failure)) = connection.receive().unwrap() else { panic!() };
        assert_eq!(failure.status, expected, "{}", failure.message);
    }
    server.drain().unwrap();
}

#[test]
fn a_floor_that_is_no_score_is_refused() {
    let server = start(&ServeOptions::default());
    let mut connection = Connection::open(&server.address().to_string(), None).unwrap();
    for score_floor in [-0.1, 2.0, f32::NAN] {
        let options = InferOptions { score_floor, ..InferOptions::default() };
        connection.send(&Infer { input: Input::Text("Where is Oslo?", None), options }).unwrap();
        let Reply::Failure(failure) = connection.receive().unwrap().1 else { panic!() };
        assert_eq!(failure.status, Status::BadInput);
        assert!(failure.message.ends_with("expected 0 to 1"), "{}", failure.message);
    }
    server.drain().unwrap();
}
