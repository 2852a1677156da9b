//! Ramps trained from unlabelled rows, written, read back, and held to their promise.

use offramp::model::files;
use offramp::{Model, Policy};
use offramp_tests::golden_dir;
use offramp_train::{Error, FitOptions, RampOptions, Settings, fit_thresholds, train_ramps};
use offramp_tune::Goal;

use crate::machine;
use crate::support::{golden, random_rows};

fn quick() -> RampOptions {
    let settings = Settings { epochs_max: 15, hidden: Some(16), ..Settings::default() };
    RampOptions { settings, ..RampOptions::default() }
}

fn fit_options(goal: Goal) -> FitOptions {
    FitOptions { policy: Policy::Margin, goal, engine: machine::options() }
}

#[test]
fn a_trained_model_reopens_with_its_ramps_and_thresholds() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden_dir().join("bert-cls").join(file), dir.path().join(file)).unwrap();
    }
    let mut model = Model::open(dir.path()).unwrap();
    let mut sites = 0;
    let trained = train_ramps(&model, &random_rows(600, &model, 1), &quick(), &mut |progress| {
        sites += usize::from(matches!(progress, offramp_train::Progress::Site { .. }));
    })
    .unwrap();
    assert_eq!(sites, model.spec().sites() - 1);
    let note = trained.bundle.trained.sites[0];
    assert!(note.agreement > 0.5, "of 6 classes: {}", note.agreement);
    trained.bundle.write(&model.path(files::RAMPS)).unwrap();
    model.set_ramps(Some(trained.bundle));

    let goal = Goal { agreement: 0.8, confidence: Some(0.9) };
    let (file, fitted) =
        fit_thresholds(&model, &random_rows(800, &model, 2), &fit_options(goal), &mut |_| {})
            .unwrap();
    assert!(fitted.upper_bound <= 0.2 + 1e-9, "{}", fitted.upper_bound);
    file.write(&model.path(files::THRESHOLDS)).unwrap();

    let reopened = Model::open(dir.path()).unwrap();
    assert_eq!(reopened.ramps(), model.ramps());
    assert_eq!(reopened.thresholds(), Some(&file));
}

#[test]
fn a_model_without_head_has_nothing_to_imitate() {
    let model = Model::open(golden_dir().join("bert-base-nohead")).unwrap();
    let error =
        train_ramps(&model, &random_rows(50, &model, 1), &quick(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Engine(offramp::Error::Unfit { .. })), "{error}");
}

#[test]
fn too_few_rows_are_refused() {
    let model = Model::open(golden_dir().join("bert-cls")).unwrap();
    let error = train_ramps(&model, &random_rows(1, &model, 1), &quick(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Ramp { .. }), "{error}");
}

#[test]
fn a_network_over_images_is_trained_the_same_way() {
    check_training("resnet-hf-bottleneck");
}

#[test]
fn a_vision_transformer_is_trained_the_same_way() {
    check_training("deit-hf");
}

fn check_training(name: &str) {
    let mut model = golden(name);
    let trained = train_ramps(&model, &random_rows(200, &model, 1), &quick(), &mut |_| {}).unwrap();
    let widths: Vec<usize> = trained.bundle.ramps.iter().map(|ramp| ramp.width()).collect();
    let sites = model.spec().sites() - 1;
    let expected: Vec<usize> = (0..sites).map(|site| model.spec().site_width(site)).collect();
    assert_eq!(widths, expected, "a ramp on every site, as wide as the map there");
    model.set_ramps(Some(trained.bundle));
    let goal = Goal { agreement: 0.8, confidence: None };
    let rows = random_rows(200, &model, 2);
    let (file, fitted) = fit_thresholds(&model, &rows, &fit_options(goal), &mut |_| {}).unwrap();
    assert_eq!(file.thresholds.len(), sites);
    assert!(fitted.agreement >= 0.8, "{fitted:?}");
}
