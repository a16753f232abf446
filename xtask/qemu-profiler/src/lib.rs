//! A QEMU TCG plugin that counts how often every translation block ran between two marker addresses.
//!
//! Arguments: `out=FILE`, and `start=ADDRESS`, `stop=ADDRESS`, `mark=ADDRESS` (hexadecimal, with or without `0x`):
//! counting goes on when the instruction at `start` executes and off at `stop`; at `mark` an account is closed. Without
//! `start` everything counts.
//!
//! When QEMU exits, FILE holds per block that ran in an account a line `R number executions taken-exits`, a line `M`
//! behind each account that a mark closed, and at the end, per block that ran, a line `T number` and per instruction of
//! that block a line `I address size`; addresses are hexadecimal, the other numbers decimal. An exit is *taken* when
//! the next block is not the one that follows in memory. FILE appears whole or not at all.
//!
//! The plugin interface is QEMU's `qemu-plugin.h`. QEMU 6 to 8 load versions 0 and 1 of it, QEMU 9 and later want
//! version 2 or more; what is used here is the same in all of them. The version is therefore settled while the
//! library is being loaded, by looking for a function that came with version 2.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{fs, ptr};

type PluginId = u64;

/// The plugin interface version this library was built against; QEMU reads it before anything else.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: AtomicI32 = AtomicI32::new(1);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: extern "C" fn(PluginId, *mut c_void));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut c_void,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut c_void,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(
        id: PluginId,
        callback: extern "C" fn(PluginId, *mut c_void),
        userdata: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_vaddr(block: *const c_void) -> u64;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_insn_size(instruction: *const c_void) -> usize;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[used]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static SETTLE_VERSION: extern "C" fn() = settle_version;

extern "C" fn settle_version() {
    // RTLD_DEFAULT: the program itself and everything loaded so far.
    let everywhere =
        if cfg!(target_os = "macos") { ptr::without_provenance_mut(-2_isize as usize) } else { ptr::null_mut() };
    // SAFETY: the name is terminated by a zero, and the handle is one that dlsym documents. The address found is
    // not called, only compared with null.
    if !unsafe { dlsym(everywhere, c"qemu_plugin_num_vcpus".as_ptr()) }.is_null() {
        qemu_plugin_version.store(2, Relaxed);
    }
}

/// A translation block. QEMU may translate the same code again and again; all of its copies count into one `Block`.
struct Block {
    start: u64,
    /// The address behind the last instruction.
    end: u64,
    /// Address and size in bytes of every instruction.
    instructions: Vec<(u64, usize)>,
    runs: AtomicU64,
    taken: AtomicU64,
    /// It is in an account that was closed.
    ran: AtomicBool,
}

struct Options {
    out: String,
    start: Option<u64>,
    stop: Option<u64>,
    mark: Option<u64>,
}

static OPTIONS: OnceLock<Options> = OnceLock::new();
// Blocks are leaked: translated code holds their addresses until QEMU exits.
static BLOCKS: Mutex<Vec<&'static Block>> = Mutex::new(Vec::new());
/// The accounts so far, as they are written.
static ACCOUNTS: Mutex<String> = Mutex::new(String::new());
static COUNTING: AtomicBool = AtomicBool::new(false);
static PREVIOUS: AtomicPtr<Block> = AtomicPtr::new(ptr::null_mut());

extern "C" fn on_block(_vcpu: c_uint, block: *mut c_void) {
    let block = block.cast::<Block>();
    if COUNTING.load(Relaxed) {
        // SAFETY: on_translate registered this callback with the address of a leaked Block, which is never freed
        // and only changed through its atomics.
        let block = unsafe { &*block };
        block.runs.fetch_add(1, Relaxed);
        // SAFETY: PREVIOUS is null or an address that this function stored, which is that of a leaked Block.
        if let Some(previous) = unsafe { PREVIOUS.load(Relaxed).as_ref() }
            && previous.end != block.start
        {
            previous.taken.fetch_add(1, Relaxed);
        }
    }
    PREVIOUS.store(block, Relaxed);
}

extern "C" fn on_start(_vcpu: c_uint, _userdata: *mut c_void) {
    COUNTING.store(true, Relaxed);
    PREVIOUS.store(ptr::null_mut(), Relaxed);
}

extern "C" fn on_stop(_vcpu: c_uint, _userdata: *mut c_void) {
    COUNTING.store(false, Relaxed);
    PREVIOUS.store(ptr::null_mut(), Relaxed);
}

extern "C" fn on_mark(_vcpu: c_uint, _userdata: *mut c_void) {
    close_account();
    ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner).push_str("M\n");
}

/// Writes what ran since the account before, and starts from zero.
fn close_account() {
    let mut text = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, block) in BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
        let (runs, taken) = (block.runs.swap(0, Relaxed), block.taken.swap(0, Relaxed));
        if runs > 0 || taken > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "R {number} {runs} {taken}");
            block.ran.store(true, Relaxed);
        }
    }
}

extern "C" fn on_translate(_id: PluginId, translation: *mut c_void) {
    // SAFETY: QEMU passes a valid block for the time of this call, and indices below its number of instructions
    // give valid instructions.
    let (start, handles) = unsafe {
        let handles: Vec<_> =
            (0..qemu_plugin_tb_n_insns(translation)).map(|i| qemu_plugin_tb_get_insn(translation, i)).collect();
        (qemu_plugin_tb_vaddr(translation), handles)
    };
    // SAFETY: as above.
    let instructions: Vec<_> = handles
        .iter()
        .map(|&handle| unsafe { (qemu_plugin_insn_vaddr(handle), qemu_plugin_insn_size(handle)) })
        .collect();

    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = blocks.iter().find(|b| b.start == start && b.instructions == instructions);
    let block = known.copied().unwrap_or_else(|| {
        let end = instructions.last().map_or(start, |&(address, size)| address + size as u64);
        let (runs, taken, ran) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let block: &'static Block = Box::leak(Box::new(Block { start, end, instructions, runs, taken, ran }));
        blocks.push(block);
        block
    });

    let options = OPTIONS.get();
    // SAFETY: the handles are valid as above; the callbacks have the type QEMU expects and use the userdata for
    // nothing but a shared reference to the leaked Block. Flags 0: the callbacks touch no guest register.
    unsafe {
        qemu_plugin_register_vcpu_tb_exec_cb(translation, on_block, 0, ptr::from_ref(block).cast_mut().cast());
        for (&handle, &(address, _)) in handles.iter().zip(&block.instructions) {
            if options.is_some_and(|o| o.start == Some(address)) {
                qemu_plugin_register_vcpu_insn_exec_cb(handle, on_start, 0, ptr::null_mut());
            }
            if options.is_some_and(|o| o.stop == Some(address)) {
                qemu_plugin_register_vcpu_insn_exec_cb(handle, on_stop, 0, ptr::null_mut());
            }
            if options.is_some_and(|o| o.mark == Some(address)) {
                qemu_plugin_register_vcpu_insn_exec_cb(handle, on_mark, 0, ptr::null_mut());
            }
        }
    }
}

extern "C" fn on_exit(_id: PluginId, _userdata: *mut c_void) {
    let Some(options) = OPTIONS.get() else { return };
    close_account();
    let mut text = std::mem::take(&mut *ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner));
    for (number, block) in BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
        if !block.ran.load(Relaxed) {
            continue;
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "T {number}");
        for (address, size) in &block.instructions {
            let _ = writeln!(text, "I {address:x} {size}");
        }
    }
    let aside = format!("{}.part", options.out);
    if let Err(error) = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &options.out)) {
        eprintln!("qemu-profiler: cannot write {}: {error}", options.out);
    }
}

/// Reads the plugin's `name=value` arguments.
fn parse<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<Options, String> {
    let mut options = Options { out: "counts.txt".to_owned(), start: None, stop: None, mark: None };
    for argument in arguments {
        let address = |value: &str| {
            u64::from_str_radix(value.trim_start_matches("0x"), 16)
                .map(|a| Some(a & !1)) // bit 0 of a Thumb function's address is not part of it
                .map_err(|e| format!("argument `{argument}`: {e}"))
        };
        match argument.split_once('=') {
            Some(("out", value)) => options.out = value.to_owned(),
            Some(("start", value)) => options.start = address(value)?,
            Some(("stop", value)) => options.stop = address(value)?,
            Some(("mark", value)) => options.mark = address(value)?,
            _ => return Err(format!("unknown argument `{argument}`")),
        }
    }
    Ok(options)
}

/// QEMU calls this once, after loading the plugin. Returns 0, or -1 if an argument is wrong.
///
/// # Safety
/// `argv` must point to `argc` strings that end in a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: the caller promises `argc` terminated strings at `argv`.
    let arguments: Vec<_> = (0..usize::try_from(argc).unwrap_or(0))
        .map(|i| unsafe { CStr::from_ptr(*argv.add(i)) }.to_string_lossy())
        .collect();
    match parse(arguments.iter().map(AsRef::as_ref)) {
        Ok(options) => {
            COUNTING.store(options.start.is_none(), Relaxed);
            // QEMU installs a loaded library once, so that the cell is empty.
            let _ = OPTIONS.set(options);
        }
        Err(message) => {
            eprintln!("qemu-profiler: {message}");
            return -1;
        }
    }
    // SAFETY: `id` is the one QEMU gave, and the callbacks live as long as the library, which QEMU never unloads
    // without being asked.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
        qemu_plugin_register_atexit_cb(id, on_exit, ptr::null_mut());
    }
    0
}
