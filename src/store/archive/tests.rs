//! Archives that nobody should trust.

use std::io::Cursor;

use tar::{EntryType, Header};

use super::*;

fn file(path: &str, text: &str) -> File {
    let (size, sha256) = sum(&mut text.as_bytes()).unwrap();
    File { path: path.to_owned(), size, sha256 }
}

fn about(files: Vec<File>) -> Manifest {
    let mut manifest = manifest("/x/.coord", "coord 0.1.0", "2026-01-02T03:04:05Z");
    (manifest.log_format, manifest.files) = (1, files);
    manifest
}

/// An entry as a stranger may write it: name and kind are put in as they are.
fn entry(name: &str, kind: EntryType, text: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_entry_type(kind);
    header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = zst::Writer::new(Vec::new());
    for entry in entries {
        out.write_all(entry).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out.finish().unwrap()
}

fn said(manifest: &impl serde::Serialize) -> Vec<u8> {
    entry("manifest.json", EntryType::Regular, &serde_json::to_vec(manifest).unwrap())
}

/// Reads an archive; what was taken before an error counts as well.
fn read_all(bytes: &[u8]) -> (Result<Manifest>, Vec<String>) {
    let mut taken = Vec::new();
    let result = read(Cursor::new(bytes), &mut |manifest, at, from| {
        io::copy(from, &mut io::sink())?;
        taken.push(manifest.files[at].path.clone());
        Ok(())
    });
    (result, taken)
}

#[track_caller]
fn refused(entries: &[Vec<u8>], words: &str) {
    let (result, _) = read_all(&pack(entries));
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_is_written_is_read() {
    let texts = ["{\"coord\":\"work\"}\n".to_owned(), String::new(), "x".repeat(100_000)];
    let names = ["work.jsonl", "agents/nova.json", "ops.jsonl"];
    let files = names.iter().zip(&texts).map(|(name, text)| file(name, text)).collect();
    let manifest = about(files);
    let mut open = |at: usize| Ok(Box::new(Cursor::new(texts[at].clone())) as Box<dyn Read>);
    let bytes = write(Vec::new(), &manifest, &mut open).unwrap();
    assert_eq!(read_manifest(bytes.as_slice()).unwrap(), manifest);
    let (result, taken) = read_all(&bytes);
    assert_eq!((result.unwrap(), taken), (manifest.clone(), names.map(str::to_owned).to_vec()));
    // A file that became another one while it was read is an error of the writer.
    let mut other = |_: usize| Ok(Box::new(Cursor::new("y".repeat(100_000))) as Box<dyn Read>);
    assert!(write(Vec::new(), &manifest, &mut other).is_err());
    // Cut off anywhere it is no backup any more.
    for cut in (0..bytes.len()).step_by(3) {
        assert!(read_all(&bytes[..cut]).0.is_err(), "{cut} of {}", bytes.len());
    }
    // A bit anywhere is noticed, or changes nothing that counts.
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        if let Ok(read) = read_all(&changed).0 {
            assert_eq!(read, manifest, "bit at {at}");
        }
    }
}

#[test]
fn nothing_but_plain_files_under_known_names() {
    let good = file("work.jsonl", "x\n");
    let body = || entry("work.jsonl", EntryType::Regular, b"x\n");
    let manifest = said(&about(vec![good.clone()]));
    assert!(read_all(&pack(&[manifest.clone(), body()])).0.is_ok());
    let more = |name: &str, kind| vec![manifest.clone(), body(), entry(name, kind, b"")];
    for name in ["../evil", "/etc/evil", "agents/../../evil", "agents/nova.json", "work.jsonl/x"] {
        refused(&more(name, EntryType::Regular), "its manifest does not name");
    }
    refused(&more("work.jsonl", EntryType::Regular), "twice");
    for kind in [EntryType::Symlink, EntryType::Link] {
        refused(&[manifest.clone(), entry("work.jsonl", kind, b"")], "a link");
    }
    refused(&more("agents", EntryType::Directory), "a directory");
    for kind in [EntryType::Fifo, EntryType::Char, EntryType::GNULongName, EntryType::XHeader] {
        refused(&more("work.jsonl", kind), "no plain file");
    }
    for path in [
        "../evil",
        "/etc/evil",
        "agents/../x.json",
        "agents/..json/x",
        ".index/head",
        "lock",
        "key.pem",
        "agents/a b.json",
        "agents/\u{202e}.json",
        "history//1.jsonl",
    ] {
        let manifest = said(&about(vec![File { path: path.to_owned(), ..good.clone() }]));
        refused(&[manifest, body()], "which belongs into no backup");
    }
    refused(&[said(&about(vec![good.clone(), good.clone()])), body()], "twice");
}

#[test]
fn it_must_be_what_its_manifest_says() {
    let good = file("work.jsonl", "x\n");
    let body = |text: &[u8]| entry("work.jsonl", EntryType::Regular, text);
    let manifest = said(&about(vec![good.clone()]));
    refused(&[manifest.clone(), body(b"y\n")], "its SHA-256 is another one");
    refused(&[manifest.clone(), body(b"xx\n")], "has 3 bytes");
    refused(std::slice::from_ref(&manifest), "it ends without `work.jsonl`");
    refused(&[], "it is empty");
    refused(&[body(b"x\n"), manifest.clone()], "does not begin with a manifest");
    refused(&[entry("manifest.json", EntryType::Symlink, b"")], "does not begin with a manifest");
    refused(&[entry("manifest.json", EntryType::Regular, b"{}")], "it is no backup");
    let other = Manifest { kind: "other".to_owned(), ..about(Vec::new()) };
    refused(&[said(&other)], "something else");
    let newer = Manifest { format: 9, min_reader: 9, ..about(vec![good]) };
    let (result, _) = read_all(&pack(&[said(&newer), body(b"x\n")]));
    assert!(matches!(result, Err(ArchiveError::Newer { found: 9, known: FORMAT })));
    // Additions of a newer program that this one may read.
    let mut grown = serde_json::to_value(about(Vec::new())).unwrap();
    (grown["format"], grown["more"]) = (9.into(), true.into());
    assert!(read_all(&pack(&[said(&grown)])).0.is_ok());
    for bytes in [&b""[..], b"no archive at all", b"\x28\xb5\x2f\xfd", &[0; 4096]] {
        assert!(read_all(bytes).0.is_err());
    }
}
