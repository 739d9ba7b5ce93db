// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate image measure`.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::FixedBytes;
use mandate_attestation::{
    ImageMeasurements, OsImage, SnpMeasurement,
    measure::{AcpiDigests, Boot, CpuType, MeasureError, PageOrder, SnpLaunch, snp_measurement},
};
use serde_json::{Value, json};

use crate::{
    args::{MeasureArgs, TdxShape},
    context::Context,
    error::{CliError, Result},
};

/// The largest file that is read: an initrd with a whole system in it.
const MAX_FILE: u64 = 2 << 30;
const MIB: u64 = 1 << 20;

pub(crate) fn measure(context: &Context<'_>, args: &MeasureArgs) -> Result<()> {
    let snp = snp(args)?;
    let tdx = args.tdx_firmware.as_deref().map(|firmware| Tdx::measure(args, firmware)).transpose()?;
    let row = tdx.as_ref().map(Tdx::row);
    let rows = row.iter().flatten().cloned().collect();
    let image = OsImage::new(&args.name, rows).with_snp(snp.iter().map(|(row, _)| row.clone()).collect());
    let mut shown = json!({ "name": args.name });
    if !snp.is_empty() {
        set(&mut shown, "snp", snp.iter().map(|(_, shape)| shape.clone()).collect());
    }
    if let Some(tdx) = &tdx {
        set(&mut shown, "tdx", tdx.shown());
    }
    match row {
        Some(None) => incomplete(args)?,
        _ => seal(&image.to_bytes(), args.manifest.as_deref(), &mut shown)?,
    }
    context.print_plain(&shown)
}

/// A manifest that leaves a kind out that was asked for would hash to something that nobody should approve.
fn incomplete(args: &MeasureArgs) -> Result<()> {
    match &args.manifest {
        Some(_) => Err(CliError::data(
            "the manifest needs RTMR0: give --acpi-loader, --acpi-rsdp and --acpi-tables, or --rtmr0",
        )),
        None => Ok(()),
    }
}

fn seal(manifest: &[u8], file: Option<&Path>, shown: &mut Value) -> Result<()> {
    OsImage::parse(manifest).map_err(CliError::data)?;
    set(shown, "osImageHash", json!(OsImage::hash(manifest)));
    if let Some(path) = file {
        write(path, manifest)?;
        set(shown, "manifest", json!(path.display().to_string()));
    }
    Ok(())
}

/// One row per number and type of virtual CPUs, and how it came about.
fn snp(args: &MeasureArgs) -> Result<Vec<(SnpMeasurement, Value)>> {
    let Some(firmware) = &args.snp_firmware else { return Ok(Vec::new()) };
    for file in [Some(firmware), args.kernel.as_ref(), args.initrd.as_ref()].into_iter().flatten() {
        check_size(file)?;
    }
    let mut rows = Vec::new();
    for name in &args.snp.vcpu_type {
        let vcpu_type = CpuType::try_from(name.as_str())
            .map_err(|_| CliError::data(format!("--vcpu-type {name}: no type that QEMU has for SEV-SNP")))?;
        for vcpus in &args.snp.vcpus {
            let launch = SnpLaunch {
                firmware,
                kernel: args.kernel.as_deref(),
                initrd: args.initrd.as_deref(),
                command_line: args.cmdline.as_deref(),
                vcpus: *vcpus,
                vcpu_type,
                features: args.snp.guest_features,
            };
            let measurement = FixedBytes::from(snp_measurement(&launch).map_err(refused)?);
            let features = format!("{:#x}", launch.features);
            let shape = json!({
                "vcpus": vcpus, "vcpuType": vcpu_type.to_string(), "guestFeatures": features, "measurement": measurement,
            });
            rows.push((SnpMeasurement { measurement }, shape));
        }
    }
    Ok(rows)
}

/// The registers of a TD; RTMR0 where it can be known.
struct Tdx {
    memory: u64,
    mrtd: FixedBytes<48>,
    rtmr0: Option<FixedBytes<48>>,
    rtmr1: FixedBytes<48>,
    rtmr2: FixedBytes<48>,
}

impl Tdx {
    fn measure(args: &MeasureArgs, firmware: &Path) -> Result<Self> {
        let (kernel, initrd) = (given(&args.kernel)?, given(&args.initrd)?);
        let (firmware, kernel, initrd) = (read(firmware)?, read(kernel)?, read(initrd)?);
        let shape = &args.tdx;
        let memory = shape.memory.checked_mul(MIB);
        let boot = Boot {
            firmware: &firmware,
            kernel: &kernel,
            initrd: &initrd,
            command_line: args.cmdline.as_deref().unwrap_or_default(),
            memory: memory.ok_or_else(|| CliError::data("--memory: no machine has that much"))?,
            order: if shape.two_passes { PageOrder::TwoPasses } else { PageOrder::Interleaved },
            kernel_as_is: shape.kernel_as_is,
            acpi: acpi(shape)?,
        };
        Ok(Self {
            memory: shape.memory,
            mrtd: boot.mrtd().map_err(refused)?.into(),
            rtmr0: boot.rtmr0().map_err(refused)?.map(FixedBytes::from).or(shape.rtmr0),
            rtmr1: boot.rtmr1().map_err(refused)?.into(),
            rtmr2: boot.rtmr2().into(),
        })
    }

    fn row(&self) -> Option<ImageMeasurements> {
        let (mrtd, rtmr1, rtmr2) = (self.mrtd, self.rtmr1, self.rtmr2);
        Some(ImageMeasurements { mrtd, rtmr0: self.rtmr0?, rtmr1, rtmr2 })
    }

    fn shown(&self) -> Value {
        json!({
            "memoryMib": self.memory, "mrtd": self.mrtd, "rtmr0": self.rtmr0, "rtmr1": self.rtmr1, "rtmr2": self.rtmr2,
        })
    }
}

fn acpi(shape: &TdxShape) -> Result<Option<AcpiDigests>> {
    let files = [&shape.acpi_loader, &shape.acpi_rsdp, &shape.acpi_tables];
    let [Some(loader), Some(rsdp), Some(tables)] = files else { return Ok(None) };
    Ok(Some(AcpiDigests::of(&read(loader)?, &read(rsdp)?, &read(tables)?)))
}

/// The command line already asks for these; a refusal is cheaper than an argument about it.
fn given(file: &Option<PathBuf>) -> Result<&Path> {
    file.as_deref()
        .ok_or_else(|| CliError::data("TDX registers cover kernel and initrd: give --kernel and --initrd"))
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn refused(error: MeasureError) -> CliError {
    CliError::data(error)
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::data(format!("cannot read {}: {error}", path.display()))
}

fn check_size(path: &Path) -> Result<()> {
    let length = fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if length > MAX_FILE { Err(too_large(path)) } else { Ok(()) }
}

fn too_large(path: &Path) -> CliError {
    CliError::data(format!("{} is larger than 2 GiB", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MAX_FILE => Ok(bytes),
        _ => Err(too_large(path)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(|e| CliError::data(format!("cannot write {}: {e}", path.display())))
}
