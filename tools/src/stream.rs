//! `offramp stream`: labelled images become a video-like stream that drifts.

mod album;
mod light;
mod mix;
mod paint;
mod read;
mod record;
mod scenes;
mod shot;
mod video;
mod walk;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::RangedI64ValueParser;
use serde::Serialize;

use crate::args::{JsonArg, share, switch};
use crate::failure::{Failure, Result};
use crate::given::Given;
use crate::out::{Out, expect_writable, write_whole};
use crate::pictures::PictureRules;
use crate::progress::bar;
use album::Album;
use light::Reach;
use record::Recorder;
use scenes::cut_frame;
use video::{Settings, Video};
use write::{Idx, Paths};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp stream --images test-images-idx3-ubyte.gz --frames 3000 --out street
  offramp stream --images PICTURES --frames 20000 --seed 1 --scenes 20 --cut 0.7 --mirror
  offramp evaluate --model DIR --input street-images-idx3-ubyte.gz

A shot shows one image for some frames, unsteadily. From scene to scene other classes become
common, and light, contrast and noise drift. At the cut, classes and light change at once.

Images are grey and of one size: an IDX file with its labels beside it, or a folder with one
folder a class, numbered by name. Writes OUT-images-idx3-ubyte.gz and OUT-labels-idx1-ubyte.gz,
which other verbs read, and OUT-scenes.jsonl, a line a scene. One seed gives the same files on
every machine.";

/// Flags of `stream`.
#[derive(Args, Debug)]
pub(crate) struct Stream {
    #[command(flatten)]
    given: Given,
    /// Labelled images: an IDX file, or a folder with one folder a class
    #[arg(long, value_name = "FILE", env = "OFFRAMP_IMAGES")]
    images: PathBuf,
    /// What the names of the files begin with
    #[arg(long, value_name = "OUT", default_value = "stream", env = "OFFRAMP_OUT")]
    out: PathBuf,
    /// Length of the stream
    #[arg(long, value_name = "N", env = "OFFRAMP_FRAMES", value_parser = count_u32())]
    frames: u32,
    /// Seed of all that is random
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_SEED")]
    seed: u64,
    /// Stretches with a mix of classes of their own
    #[arg(long, value_name = "K", default_value = "8", env = "OFFRAMP_SCENES",
          value_parser = count_u32())]
    scenes: u32,
    /// Where everything changes at once, as a share of the stream; 0 for nowhere
    #[arg(long, value_name = "SHARE", default_value = "0.5", env = "OFFRAMP_CUT",
          value_parser = share::<f64>)]
    cut: f64,
    /// From the cut on, show mirror images
    #[arg(long, env = "OFFRAMP_MIRROR", value_parser = switch())]
    mirror: bool,
    #[command(flatten)]
    rules: PictureRules,
    #[command(flatten)]
    camera: CameraArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// How steady the picture is.
#[derive(Args, Clone, Copy, Debug)]
struct CameraArgs {
    /// Mean length of a shot
    #[arg(long, value_name = "N", default_value = "12", env = "OFFRAMP_SHOT_FRAMES",
          value_parser = count_u32())]
    shot_frames: u32,
    /// Furthest that an image moves from its place, pixels
    #[arg(long, value_name = "PIXELS", default_value = "1", env = "OFFRAMP_JITTER",
          value_parser = RangedI64ValueParser::<i32>::new().range(0..=64))]
    jitter: i32,
    /// How much brighter or darker an image may become
    #[arg(long, value_name = "SHARE", default_value = "0.4", env = "OFFRAMP_BRIGHTNESS",
          value_parser = share::<f32>)]
    brightness: f32,
    /// How much contrast an image may gain or lose
    #[arg(long, value_name = "SHARE", default_value = "0.2", env = "OFFRAMP_CONTRAST",
          value_parser = share::<f32>)]
    contrast: f32,
    /// Most noise of a pixel, in levels of 255
    #[arg(long, value_name = "LEVELS", default_value = "8", env = "OFFRAMP_NOISE")]
    noise: u8,
}

fn count_u32() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=i64::from(u32::MAX))
}

/// What was made.
#[derive(Serialize)]
struct About<'a> {
    images: &'a Path,
    labels: &'a Path,
    scenes: &'a Path,
    seed: u64,
    frames: u32,
    height: usize,
    width: usize,
    /// Number of each class, by name.
    classes: BTreeMap<&'a str, u8>,
    source_images: usize,
    scene_count: usize,
    shots: u32,
    cut_frame: Option<u32>,
}

/// Runs the verb.
pub(crate) fn run(args: &Stream) -> Result<()> {
    args.given.refuse(args.cut == 0.0, &["mirror"], "with --cut 0, from which it would begin")?;
    let settings = args.settings()?;
    let paths = Paths::new(&args.out);
    [&paths.images, &paths.labels, &paths.scenes]
        .into_iter()
        .try_for_each(|path| expect_writable(path))?;
    check_paths(&args.images, &paths)?;
    let album = read::read(&args.images, args.rules)?;
    let video = Video::new(&album, settings);
    let scenes = video.scenes().to_vec();
    let mut recorder = Recorder::new(scenes.len(), album.classes.len());
    write(video, &album, &settings, &paths, &mut recorder)?;
    let mut lines = Vec::new();
    for record in recorder.records(&scenes, &album) {
        serde_json::to_writer(&mut lines, &record)?;
        lines.push(b'\n');
    }
    write_whole(&paths.scenes, &lines)?;
    say(args, &About::new(&settings, &paths, &album, scenes.len(), recorder.shots()))
}

impl Stream {
    fn settings(&self) -> Result<Settings> {
        let CameraArgs { shot_frames, jitter, brightness, contrast, noise } = self.camera;
        let cut = cut_frame(self.frames, self.cut);
        if cut.is_some() && self.scenes < 2 {
            let message = "--scenes 1 leaves no place for a cut: expected 2 or more, or --cut 0";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(Settings {
            seed: self.seed,
            frames: self.frames,
            scenes: self.scenes,
            cut,
            shot_frames,
            jitter,
            mirrors: self.mirror,
            reach: Reach { brightness, contrast, noise: f32::from(noise) },
        })
    }
}

/// `--images x-images-idx3-ubyte.gz --out x` would replace what it reads.
fn check_paths(images: &Path, paths: &Paths) -> Result<()> {
    let whole = |path: &Path| path.canonicalize().ok();
    if whole(images).is_some_and(|images| whole(&paths.images) == Some(images)) {
        let images = images.display();
        return Err(Failure::Usage(format!("{images}: --out would replace --images")));
    }
    Ok(())
}

fn write(
    video: Video<'_>,
    album: &Album,
    settings: &Settings,
    paths: &Paths,
    recorder: &mut Recorder,
) -> Result<()> {
    let mut idx = Idx::create(paths, settings.frames, album.sides)?;
    let progress = bar("making frames", u64::from(settings.frames));
    for frame in video {
        idx.add(&frame.pixels, album.classes[frame.class].number)?;
        recorder.add(&frame);
        progress.inc(1);
    }
    progress.finish_and_clear();
    idx.finish()
}

fn say(args: &Stream, about: &About<'_>) -> Result<()> {
    let mut out = Out::stdout();
    if args.json.json {
        out.json(about)?;
    } else {
        about.print(&mut out)?;
    }
    out.flush()
}

impl<'a> About<'a> {
    fn new(
        settings: &Settings,
        paths: &'a Paths,
        album: &'a Album,
        scene_count: usize,
        shots: u32,
    ) -> Self {
        let [height, width] = album.sides;
        Self {
            images: &paths.images,
            labels: &paths.labels,
            scenes: &paths.scenes,
            seed: settings.seed,
            frames: settings.frames,
            height,
            width,
            classes: album.classes.iter().map(|it| (it.name.as_str(), it.number)).collect(),
            source_images: album.len(),
            scene_count,
            shots,
            cut_frame: settings.cut,
        }
    }

    fn print(&self, out: &mut Out) -> Result<()> {
        let Self { frames, height, width, source_images, scene_count, shots, .. } = self;
        let cut = match self.cut_frame {
            Some(frame) => format!("a cut at frame {frame}"),
            None => "no cut".to_owned(),
        };
        out.line(format_args!(
            "{frames} frames of {height} x {width} from {source_images} images of {} classes: \
             {scene_count} scenes, {shots} shots, {cut}",
            self.classes.len()
        ))?;
        let [images, labels, scenes] =
            [self.images, self.labels, self.scenes].map(|path| path.display());
        out.line(format_args!("wrote {images}, {labels} and {scenes}"))
    }
}
