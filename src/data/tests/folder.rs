//! Image folders and tars of them, and what can be wrong with them.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage, RgbaImage};

use super::idx::gzip;
use crate::data::open;

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.into().write_to(&mut out, format).unwrap();
    out.into_inner()
}

pub(super) fn grey(value: u8) -> Vec<u8> {
    encoded(GrayImage::from_pixel(2, 3, image::Luma([value])), ImageFormat::Png)
}

pub(super) fn colour(value: u8) -> Vec<u8> {
    encoded(RgbImage::from_pixel(2, 3, image::Rgb([value, 1, 2])), ImageFormat::Png)
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Three grey training images and one test image.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train/dog/1.png", &grey(30));
    write(folder.path(), "train/cat/b.png", &grey(20));
    write(folder.path(), "train/cat/a.PNG", &grey(10));
    write(folder.path(), "test/dog/1.png", &grey(40));
    write(folder.path(), "README.txt", b"hello");
    write(folder.path(), "train/cat/.DS_Store", b"litter");
    folder
}

fn failure(folder: &Path) -> String {
    let error = open(None, Some(folder)).unwrap_err();
    assert_eq!(error.exit_status(), 2);
    error.to_string()
}

#[test]
fn grey_folder_keeps_one_channel() {
    let folder = folder();
    let dataset = open(None, Some(folder.path())).unwrap();
    assert_eq!((dataset.name.as_str(), dataset.height, dataset.width, dataset.channels), ("folder", 3, 2, 1));
    assert_eq!(dataset.classes, ["cat", "dog"]);
    assert_eq!(dataset.train.labels, [0, 0, 1]);
    assert_eq!(*dataset.train.images, [[10; 6], [20; 6], [30; 6]].concat());
    assert_eq!((dataset.test.labels.as_slice(), dataset.test.images.as_slice()), (&[1][..], &[40; 6][..]));
    assert_eq!(dataset.normalisation().mean, [20.0 / 255.0]);
}

#[test]
fn one_image_in_colour_makes_all_three_channels() {
    let folder = folder();
    write(folder.path(), "train/cat/aa.png", &colour(200));
    write(
        folder.path(),
        "test/cat/opaque.png",
        &encoded(RgbaImage::from_pixel(2, 3, image::Rgba([7, 8, 9, 255])), ImageFormat::Png),
    );
    write(
        folder.path(),
        "test/cat/plain.png",
        &encoded(GrayAlphaImage::from_pixel(2, 3, image::LumaA([5, 255])), ImageFormat::Png),
    );
    let dataset = open(None, Some(folder.path())).unwrap();
    assert_eq!(dataset.channels, 3);
    assert_eq!(*dataset.train.images, [[10; 3], [200, 1, 2], [20; 3], [30; 3]].map(|pixel| pixel.repeat(6)).concat());
    assert_eq!(*dataset.test.images, [[7, 8, 9], [5; 3], [40; 3]].map(|pixel| pixel.repeat(6)).concat());
}

#[test]
fn tar_in_any_order_is_the_same_data_set() {
    let folder = folder();
    for number in 0..40u8 {
        write(folder.path(), &format!("train/cat/{number:02}.png"), &grey(100 + number));
    }
    let expected = open(None, Some(folder.path())).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for number in (0..40).map(|number| number * 7 % 40) {
        let name = format!("train/cat/{number:02}.png");
        builder.append_path_with_name(folder.path().join(&name), format!("top/{name}")).unwrap();
    }
    for name in ["test/dog/1.png", "train/dog/1.png", "train/cat/b.png", "train/cat/a.PNG"] {
        builder.append_path_with_name(folder.path().join(name), format!("top/{name}")).unwrap();
    }
    let file = folder.path().join("set.tar.gz");
    fs::write(&file, gzip(&builder.into_inner().unwrap())).unwrap();
    assert_eq!(open(None, Some(&file)).unwrap(), expected);
}

#[test]
fn jpeg_is_decoded_and_a_truncated_one_is_named() {
    let folder = folder();
    let jpeg = encoded(GrayImage::from_pixel(2, 3, image::Luma([128])), ImageFormat::Jpeg);
    write(folder.path(), "train/dog/2.jpg", &jpeg);
    let dataset = open(None, Some(folder.path())).unwrap();
    assert!(dataset.train.images[12..].iter().zip([30u8; 6].iter().chain(&[128; 6])).all(|(a, b)| a.abs_diff(*b) < 2));
    write(folder.path(), "train/dog/2.jpg", &jpeg[..jpeg.len() - 4]);
    let error = failure(folder.path());
    assert!(error.contains("2.jpg") && error.contains(&format!("byte {}", jpeg.len() - 4)), "{error}");
}

#[test]
fn validation_folder_stands_in_for_a_missing_test_folder() {
    let folder = folder();
    write(folder.path(), "val/cat/1.png", &grey(50));
    assert_eq!(open(None, Some(folder.path())).unwrap().test.images[0], 40);
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    assert_eq!(open(None, Some(folder.path())).unwrap().test.images[0], 50);
    fs::remove_dir_all(folder.path().join("val")).unwrap();
    assert!(failure(folder.path()).contains("no images of the test split"));
}

#[test]
fn wrong_files_are_named() {
    let fails = |name: &str, content: &[u8], part: &str| {
        let folder = folder();
        write(folder.path(), name, content);
        let error = failure(folder.path());
        assert!(error.contains(name) && error.contains(part), "{name}: {error}");
    };
    let large = encoded(GrayImage::new(3, 3), ImageFormat::Png);
    fails("train/dog/2.png", &large, "the image is 3x3, but");
    fails("train/dog/2.png", b"no image", "neither PNG nor JPEG");
    fails("train/dog/2.png", b"", "neither PNG nor JPEG");
    fails("train/dog/2.png", &grey(1)[..40], "cannot be decoded");
    fails("train/dog/notes.txt", b"hello", "neither .png nor .jpg");
    fails("train/2.png", &grey(1), "misplaced");
    fails("train/dog/puppies/2.png", &grey(1), "misplaced");
    let deep = encoded(DynamicImage::new_luma16(2, 3), ImageFormat::Png);
    fails("train/dog/2.png", &deep, "8 bits per channel");
    let clear = encoded(RgbaImage::new(2, 3), ImageFormat::Png);
    fails("train/dog/2.png", &clear, "transparent");

    let folder = folder();
    write(folder.path(), "test/fish/1.png", &grey(1));
    assert!(failure(folder.path()).contains("class `fish` has test images"));
    write(folder.path(), "again/test/dog/1.png", &grey(1));
    write(folder.path(), "train/fish/1.png", &grey(1));
    assert!(failure(folder.path()).contains("two images are called 1.png"));
}
