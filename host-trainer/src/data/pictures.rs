//! Folders of pictures, one folder per class, and the cache of what was decoded.
//!
//! The cache is a file named by the SHA-256 of all that it depends on: the names and contents of the pictures and how
//! they are fitted. It is written aside and renamed, and checked when it is read; a damaged one is made anew.

use super::content::read_file;
use super::{DataError, Images};
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits, RgbImage};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// All pictures together are at most this many bytes once decoded.
const TOTAL: u64 = 1 << 34;
/// Largest height and width of a picture.
const LARGEST: u32 = 1 << 14;
/// Bytes that decoding one picture may take.
const WORKING: u64 = 1 << 30;
/// What is decoded.
const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "pbm", "pgm", "ppm", "pnm"];
/// What may lie beside pictures.
const IGNORED: [&str; 7] = ["txt", "md", "json", "csv", "xml", "db", "ini"];

/// How a picture of another size becomes one of the wanted size. Scaling averages (a triangle filter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The largest part around the centre that has the wanted proportions.
    #[default]
    Crop,
    /// The whole picture, between black borders.
    Pad,
    /// The whole picture, its proportions changed.
    Stretch,
}

/// What decoding depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoding {
    /// Height and width; that of the first picture, which all others must have, if absent.
    pub size: Option<[usize; 2]>,
    /// 1 or 3.
    pub channels: usize,
    pub fit: Fit,
}

/// The names of the folders in `folder`, sorted.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in list(folder)? {
        if entry.is_dir() {
            let name = entry
                .file_name()
                .and_then(OsStr::to_str)
                .ok_or_else(|| DataError::content(&entry, "the name is not Unicode", "rename the folder"))?;
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Everything in a folder that is not hidden, sorted by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Read { file: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

/// The pictures of `folder/CLASS/` for each class, in the order of the classes and of the names of the files.
pub(super) fn read(
    folder: &Path,
    classes: &[String],
    decoding: Decoding,
    cache: Option<&Path>,
) -> Result<Images, DataError> {
    if classes.len() > 256 {
        return Err(DataError::content(
            folder,
            format!("{} folders, one for each class", classes.len()),
            "at most 256 classes are supported",
        ));
    }
    let mut files = Vec::new();
    for (label, class) in (0..=u8::MAX).zip(classes) {
        let path = folder.join(class);
        let before = files.len();
        if path.is_dir() {
            for file in list(&path)? {
                if is_picture(&file)? {
                    files.push((label, file));
                }
            }
        }
        if files.len() == before {
            return Err(DataError::content(
                &path,
                "there are no pictures in it",
                format!("put pictures ({}) of this class there, or remove the folder", EXTENSIONS.join(", ")),
            ));
        }
    }
    let Some((_, first)) = files.first() else {
        return Err(DataError::content(
            folder,
            "there are no folders in it",
            "make a folder for each class and put its pictures there",
        ));
    };
    let content = |file: &Path| read_file(file).map_err(|source| DataError::Read { file: file.to_owned(), source });
    let key = |hashes: Vec<[u8; 32]>| key(classes, &files, &hashes, decoding);

    let mut cached = None;
    if let Some(cache) = cache {
        let hashes = files.par_iter().map(|(_, file)| Ok(hash(&content(file)?))).collect::<Result<_, DataError>>()?;
        let key = key(hashes);
        cached = read_cache(&cache_file(cache, &key), &key);
    }
    if let Some(images) = cached {
        return Ok(images);
    }

    let size = match decoding.size {
        Some(size) => size,
        None => {
            let picture = decode(first, &content(first)?, None)?;
            [picture.height() as usize, picture.width() as usize]
        }
    };
    let length = size[0] * size[1] * decoding.channels;
    if length == 0 || files.len() as u64 > TOTAL / length as u64 {
        return Err(DataError::content(
            folder,
            format!("{} pictures of {}x{} in {} channels", files.len(), size[0], size[1], decoding.channels),
            format!("choose a `size` with which all together are at most {TOTAL} bytes"),
        ));
    }
    let mut pixels = vec![0; files.len() * length];
    let hashes = pixels
        .par_chunks_exact_mut(length)
        .zip(&files)
        .map(|(pixels, (_, file))| {
            let content = content(file)?;
            let picture = decode(file, &content, decoding.size.is_none().then_some(size))?;
            fit(&picture, size, decoding, pixels);
            Ok(hash(&content))
        })
        .collect::<Result<Vec<_>, DataError>>()?;
    let labels = files.iter().map(|(label, _)| *label).collect();
    let images = Images { size, channels: decoding.channels, pixels, labels };
    if let Some(cache) = cache {
        let key = key(hashes);
        write_cache(cache, &key, &images)
            .map_err(|source| DataError::Cache { file: cache_file(cache, &key), source })?;
    }
    Ok(images)
}

/// Whether a file is a picture; an error if it is one that cannot be decoded.
fn is_picture(file: &Path) -> Result<bool, DataError> {
    let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    if EXTENSIONS.contains(&extension.as_str()) {
        Ok(true)
    } else if IGNORED.contains(&extension.as_str()) {
        Ok(false)
    } else {
        let problem =
            if file.is_dir() { "a folder within the folder of a class" } else { "not a picture that is read here" };
        Err(DataError::content(file, problem, format!("move it away or convert it ({})", EXTENSIONS.join(", "))))
    }
}

/// A picture, turned upright as its camera says. If it is not of the `expected` size, that is an error.
fn decode(file: &Path, content: &[u8], expected: Option<[usize; 2]>) -> Result<DynamicImage, DataError> {
    let failed = |error: image::ImageError| {
        DataError::content(file, format!("cannot be decoded ({error})"), "replace the file or remove it")
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    limits.max_alloc = Some(WORKING);
    // By its first bytes, whatever its name.
    let mut reader = ImageReader::new(Cursor::new(content)).with_guessed_format().map_err(|e| failed(e.into()))?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let (mut width, mut height) = decoder.dimensions();
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    if matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH) {
        (width, height) = (height, width);
    }
    if let Some(expected) = expected
        && expected != [height as usize, width as usize]
    {
        return Err(DataError::content(
            file,
            format!("it is {height}x{width} (height, width), the first picture is {}x{}", expected[0], expected[1]),
            "give the `size` that all pictures are to have",
        ));
    }
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Writes a picture as `size` pixels of 1 or 3 channels. What is transparent becomes black.
fn fit(picture: &DynamicImage, [height, width]: [usize; 2], decoding: Decoding, pixels: &mut [u8]) {
    let flat;
    let picture = if picture.color().has_alpha() {
        let mut rgba = picture.to_rgba8();
        for pixel in rgba.pixels_mut() {
            let [red, green, blue, alpha] = pixel.0.map(u32::from);
            pixel.0 = [red, green, blue, 255].map(|value| ((value * alpha + 127) / 255) as u8);
        }
        flat = DynamicImage::ImageRgba8(rgba);
        &flat
    } else {
        picture
    };
    let (have_width, have_height) = (picture.width(), picture.height());
    let (width, height) = (width as u32, height as u32);
    // Sizes are below 2^14 here, except the wanted one: 64 bits for products.
    let [w, h, have_w, have_h] = [width, height, have_width, have_height].map(u64::from);
    let scaled = |a: u64, b: u64, c: u64, limit: u32| ((a * b + c / 2) / c).clamp(1, u64::from(limit)) as u32;
    let (area, place) = match decoding.fit {
        Fit::Stretch => ((have_width, have_height), (width, height)),
        Fit::Crop if have_w * h > w * have_h => ((scaled(have_h, w, h, have_width), have_height), (width, height)),
        Fit::Crop => ((have_width, scaled(have_w, h, w, have_height)), (width, height)),
        Fit::Pad if have_w * h > w * have_h => ((have_width, have_height), (width, scaled(w, have_h, have_w, height))),
        Fit::Pad => ((have_width, have_height), (scaled(h, have_w, have_h, width), height)),
    };
    let part = picture.crop_imm((have_width - area.0) / 2, (have_height - area.1) / 2, area.0, area.1);
    let (left, top) = (i64::from((width - place.0) / 2), i64::from((height - place.1) / 2));
    macro_rules! draw {
        ($part:expr, $Image:ident) => {{
            let mut part = $part;
            if part.dimensions() != place {
                part = imageops::resize(&part, place.0, place.1, FilterType::Triangle);
            }
            let mut whole = $Image::new(width, height);
            imageops::replace(&mut whole, &part, left, top);
            pixels.copy_from_slice(whole.as_raw());
        }};
    }
    if decoding.channels == 1 { draw!(part.to_luma8(), GrayImage) } else { draw!(part.to_rgb8(), RgbImage) }
}

fn hash(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

const MAGIC: &[u8; 16] = b"host-trainer-1\r\n";

/// The hash of everything that the decoded pictures depend on.
fn key(classes: &[String], files: &[(u8, PathBuf)], hashes: &[[u8; 32]], decoding: Decoding) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(MAGIC);
    hasher.update(format!("{decoding:?} {classes:?}"));
    for ((label, file), hash) in files.iter().zip(hashes) {
        // Names decide on the order. Each part has a fixed length.
        let name = file.file_name().unwrap_or_default();
        hasher.update([*label]);
        hasher.update(Sha256::digest(name.as_encoded_bytes()));
        hasher.update(hash);
    }
    hasher.finalize().into()
}

fn cache_file(folder: &Path, key: &[u8; 32]) -> PathBuf {
    let name: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("pictures-{name}.cache"))
}

/// Magic bytes, key, four sizes, labels, pixels, and the SHA-256 of all that.
fn write_cache(folder: &Path, key: &[u8; 32], images: &Images) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut hasher = Sha256::new();
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let [height, width, channels] = images.shape();
    let sizes = [images.len(), height, width, channels].map(|size| (size as u64).to_le_bytes());
    for part in [&MAGIC[..], key, sizes.as_flattened(), &images.labels, &images.pixels] {
        hasher.update(part);
        file.write_all(part)?;
    }
    file.write_all(&hasher.finalize())?;
    file.as_file().sync_all()?;
    file.persist(cache_file(folder, key)).map_err(|error| error.error)?;
    Ok(())
}

/// The images of a cache, or nothing if there is none, it is damaged, or it is of other pictures.
fn read_cache(file: &Path, key: &[u8; 32]) -> Option<Images> {
    if fs::metadata(file).ok()?.len() > TOTAL + (1 << 30) {
        return None;
    }
    let content = fs::read(file).ok()?;
    let (content, found) = content.split_last_chunk::<32>()?;
    if hash(content) != *found {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?.strip_prefix(key)?;
    let (sizes, rest) = rest.split_first_chunk::<32>()?;
    let mut numbers = sizes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize);
    let [count, height, width, channels] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    let (labels, pixels) = rest.split_at_checked(count)?;
    let length = count.checked_mul(height)?.checked_mul(width)?.checked_mul(channels)?;
    (pixels.len() == length).then(|| Images {
        size: [height, width],
        channels,
        pixels: pixels.to_vec(),
        labels: labels.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Luma, Rgb, Rgba, RgbaImage};

    const COLOR: Decoding = Decoding { size: None, channels: 3, fit: Fit::Crop };

    fn classes() -> [String; 2] {
        ["cat", "dog"].map(str::to_owned)
    }

    /// A picture whose pixel (x, y) is (10 x, 10 y, 7).
    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([10 * x as u8, 10 * y as u8, 7]))
    }

    /// A folder of two classes and three pictures of 4x3 in lossless formats.
    fn pictures() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for class in classes() {
            fs::create_dir(folder.path().join(class)).unwrap();
        }
        let save = |name: &str, picture: &RgbImage| picture.save(folder.path().join(name)).unwrap();
        save("dog/b.png", &ramp(4, 3));
        save("cat/z.ppm", &RgbImage::from_pixel(4, 3, Rgb([1, 2, 3])));
        save("dog/a.BMP", &RgbImage::from_pixel(4, 3, Rgb([4, 5, 6])));
        fs::write(folder.path().join("dog/notes.txt"), "beside").unwrap();
        fs::write(folder.path().join("dog/.hidden"), "beside").unwrap();
        folder
    }

    #[test]
    fn pictures_in_the_order_of_their_names() {
        let folder = pictures();
        assert_eq!(folders(folder.path()).unwrap(), classes());
        let images = read(folder.path(), &classes(), COLOR, None).unwrap();
        assert_eq!((images.shape(), &images.labels[..]), ([3, 4, 3], &[0, 1, 1][..]));
        assert_eq!(images.image(0)[..3], [1, 2, 3]);
        assert_eq!(images.image(1)[..3], [4, 5, 6]);
        assert_eq!(images.image(2), ramp(4, 3).as_raw().as_slice());
    }

    #[test]
    fn fitting() {
        let picture = DynamicImage::from(GrayImage::from_fn(4, 2, |x, _| Luma([10 * x as u8])));
        let fitted = |size: [usize; 2], fit| {
            let mut pixels = vec![99; size[0] * size[1]];
            super::fit(&picture, size, Decoding { size: Some(size), channels: 1, fit }, &mut pixels);
            pixels
        };
        assert_eq!(fitted([2, 2], Fit::Crop), [10, 20, 10, 20]);
        assert_eq!(fitted([4, 4], Fit::Pad), [[0; 4], [0, 10, 20, 30], [0, 10, 20, 30], [0; 4]].concat());
        // Halved by a triangle of two pixels' half-width: weights 3/8, 3/8, 1/8 of what is inside.
        assert_eq!(fitted([2, 2], Fit::Stretch), [7, 23, 7, 23]);
        assert_eq!(fitted([1, 1], Fit::Crop).len(), 1);
        assert_eq!(fitted([300, 1], Fit::Pad).iter().filter(|&&pixel| pixel != 0).count(), 1);
        assert_eq!(fitted([1, 300], Fit::Crop).len(), 300);
    }

    #[test]
    fn transparency_becomes_black() {
        let picture = DynamicImage::from(RgbaImage::from_fn(2, 1, |x, _| Rgba([200, 100, 50, 255 * x as u8])));
        let mut pixels = vec![9; 6];
        super::fit(&picture, [1, 2], COLOR, &mut pixels);
        assert_eq!(pixels, [0, 0, 0, 200, 100, 50]);
    }

    #[test]
    fn the_cache_replaces_decoding_and_notices_changes() {
        let folder = pictures();
        let cache = folder.path().join("cache");
        let load = || read(folder.path(), &classes(), COLOR, Some(&cache)).unwrap();
        let files = || fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
        let images = load();
        let [file] = &files()[..] else { panic!("one file") };
        let content = fs::read(file).unwrap();
        assert_eq!(load(), images);

        // It is the cache that is read: one of other pixels with a right checksum shows.
        let mut other = content[..content.len() - 32].to_vec();
        *other.last_mut().unwrap() ^= 1;
        other.extend(hash(&other));
        fs::write(file, &other).unwrap();
        let seen = load();
        assert_eq!(seen.pixels.last().unwrap() ^ 1, *images.pixels.last().unwrap());

        // Damaged ones are made anew, wherever the damage is.
        for place in [0, 20, 50, 60, 70, 90, content.len() - 1] {
            let mut damaged = content.clone();
            damaged[place] ^= 0x80;
            fs::write(file, &damaged).unwrap();
            assert_eq!(load(), images);
            assert_eq!(fs::read(file).unwrap(), content);
        }
        for length in [0, 16, 47, 79, content.len() - 1] {
            fs::write(file, &content[..length]).unwrap();
            assert_eq!(load(), images);
        }

        // Other pictures, other names and other sizes are other caches.
        RgbImage::from_pixel(4, 3, Rgb([4, 5, 7])).save(folder.path().join("dog/a.BMP")).unwrap();
        assert_eq!(load().image(1)[..3], [4, 5, 7]);
        assert_eq!(files().len(), 2);
        fs::rename(folder.path().join("dog/a.BMP"), folder.path().join("dog/c.BMP")).unwrap();
        assert_eq!(load().image(2)[..3], [4, 5, 7]);
        let small = Decoding { size: Some([2, 2]), ..COLOR };
        assert_eq!(read(folder.path(), &classes(), small, Some(&cache)).unwrap().size, [2, 2]);
        assert_eq!(files().len(), 4);
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let message = |change: &dyn Fn(&Path)| {
            let folder = pictures();
            change(folder.path());
            read(folder.path(), &classes(), COLOR, None).unwrap_err().to_string()
        };
        let says = |message: &str, parts: &[&str]| {
            for part in parts {
                assert!(message.contains(part), "`{part}` is missing in: {message}");
            }
        };
        says(&message(&|f| fs::write(f.join("dog/b.png"), "no").unwrap()), &["b.png", "cannot be decoded", "replace"]);
        says(&message(&|f| ramp(5, 3).save(f.join("dog/c.png")).unwrap()), &["c.png", "3x5", "3x4", "`size`"]);
        says(&message(&|f| fs::write(f.join("dog/d.webp"), "").unwrap()), &["d.webp", "convert"]);
        says(&message(&|f| fs::remove_file(f.join("cat/z.ppm")).unwrap()), &["cat", "no pictures"]);
        says(&message(&|f| fs::create_dir(f.join("cat/more")).unwrap()), &["more", "folder within"]);
        // A picture that announces much and holds nothing.
        let hostile = |f: &Path| fs::write(f.join("dog/e.pgm"), "P5 16000 16000 255\n").unwrap();
        says(&message(&hostile), &["e.pgm"]);
        let huge = |f: &Path| fs::write(f.join("cat/a.pgm"), "P5 4000000000 4000000000 255\n").unwrap();
        says(&message(&huge), &["a.pgm", "cannot be decoded"]);
        let huge = Decoding { size: Some([1 << 20, 1 << 20]), ..COLOR };
        says(&read(pictures().path(), &classes(), huge, None).unwrap_err().to_string(), &["`size`"]);
    }

    #[test]
    fn jpeg_and_orientation() {
        let mut file = Vec::new();
        let grey = GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 30 } else { 220 }]));
        grey.write_to(&mut Cursor::new(&mut file), ImageFormat::Jpeg).unwrap();
        let plain = decode(Path::new("file"), &file, None).unwrap();
        assert_eq!((plain.height(), plain.width()), (8, 16));
        // Exif in an APP1 segment behind the first two bytes: one entry, orientation 6, "turn right to show".
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut turned = file[..2].to_vec();
        turned.extend([0xff, 0xe1]);
        turned.extend((exif.len() as u16 + 2).to_be_bytes());
        turned.extend(exif);
        turned.extend(&file[2..]);
        let turned = decode(Path::new("file"), &turned, Some([16, 8])).unwrap().to_luma8();
        // Left becomes top.
        assert!(turned.get_pixel(4, 2).0[0].abs_diff(30) < 5 && turned.get_pixel(4, 13).0[0].abs_diff(220) < 5);
    }
}
