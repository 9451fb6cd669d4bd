//! The only file that calls into the engine's shared library, and so the only one with `unsafe`.
//!
//! The signatures are those of `chdb.h` (chdb-core 26.7). What the safe types here keep true:
//!
//! * **Invariant: the library is never unloaded.** It starts threads and exit handlers of its own,
//!   which would otherwise run unmapped code. [`Library`] leaks its handle on purpose.
//! * **Invariant: one connection, one thread, one statement.** [`Connection`] is neither `Send` nor
//!   `Sync`; a running [`Select`] or [`Insert`] borrows it mutably, so no second statement can start.
//! * **Invariant: every handle is destroyed exactly once**, by the `Drop` of the type that owns it, and
//!   never outlives its connection. Bytes are copied out before their result is destroyed.
#![expect(unsafe_code, reason = "the foreign functions of the engine; invariants above and at each block")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::outcome::{Analysis, Output, Stats};

type Handle = *mut c_void;
type Lengths = *const usize;
type Strings = *const *const c_char;
type WithParams = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    Strings,
    Lengths,
    Strings,
    Lengths,
    usize,
) -> Handle;
type Counter = unsafe extern "C" fn(Handle) -> u64;
type Message = unsafe extern "C" fn(Handle) -> *const c_char;
type Consume = unsafe extern "C" fn(Handle);

/// `chdb_state`: 0 is success.
const SUCCESS: c_int = 0;

/// Named parameters of a query (`{name:Type}`), values in the escaped text form of TSV.
pub(super) type Params = [(String, String)];

/// Why the library could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// Not there, not for this platform, or lacking a function of this version.
    #[error("cannot load the engine library")]
    Load(#[source] libloading::Error),
}

/// The functions of the loaded library, resolved once.
pub(super) struct Library {
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    version: unsafe extern "C" fn() -> *const c_char,
    connect: unsafe extern "C" fn(c_int, *const *const c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    shutdown: unsafe extern "C" fn() -> c_int,
    classify:
        unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int,
    query: WithParams,
    select: WithParams,
    select_fetch: unsafe extern "C" fn(Handle, Handle) -> Handle,
    select_cancel: unsafe extern "C" fn(Handle, Handle),
    insert: WithParams,
    insert_append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(Handle) -> Handle,
    insert_cancel: Consume,
    insert_error: Message,
    insert_destroy: Consume,
    result_destroy: Consume,
    result_error: Message,
    result_buffer: unsafe extern "C" fn(Handle) -> *const u8,
    result_length: unsafe extern "C" fn(Handle) -> usize,
    result_elapsed: unsafe extern "C" fn(Handle) -> f64,
    result_rows: Counter,
    result_bytes: Counter,
    storage_rows_read: Counter,
    storage_bytes_read: Counter,
    rows_written: Counter,
    bytes_written: Counter,
    /// Never dropped: see the module's first invariant.
    _handle: ManuallyDrop<libloading::Library>,
}

impl Library {
    /// Loads the library and switches its signal handlers off: the process handles its own signals.
    /// A process opens one data directory in its life; after [`Library::shutdown`] none.
    pub(super) fn load(path: &OsStr) -> Result<Arc<Self>, LoadError> {
        // SAFETY: running the initializers of the library the operator configured is the purpose; it
        // is a plain C library without requirements on the loading thread.
        let handle = unsafe { libloading::Library::new(path) }.map_err(LoadError::Load)?;
        let handle = ManuallyDrop::new(handle);
        // SAFETY: each field's type is the function's declared signature in `chdb.h`, and the
        // pointers stay valid because the library is never unloaded.
        let library = unsafe {
            Self {
                set_signal_handlers_enabled: symbol(&handle, c"chdb_set_signal_handlers_enabled")?,
                version: symbol(&handle, c"chdb_version")?,
                connect: symbol(&handle, c"chdb_connect")?,
                close: symbol(&handle, c"chdb_close_conn")?,
                shutdown: symbol(&handle, c"chdb_shutdown")?,
                classify: symbol(&handle, c"chdb_classify_query_n")?,
                query: symbol(&handle, c"chdb_query_with_params_n")?,
                select: symbol(&handle, c"chdb_stream_query_with_params_n")?,
                select_fetch: symbol(&handle, c"chdb_stream_fetch_result")?,
                select_cancel: symbol(&handle, c"chdb_stream_cancel_query")?,
                insert: symbol(&handle, c"chdb_stream_insert_with_params_n")?,
                insert_append: symbol(&handle, c"chdb_stream_append")?,
                insert_done: symbol(&handle, c"chdb_stream_done")?,
                insert_cancel: symbol(&handle, c"chdb_stream_cancel_insert")?,
                insert_error: symbol(&handle, c"chdb_stream_insert_error")?,
                insert_destroy: symbol(&handle, c"chdb_destroy_insert_stream")?,
                result_destroy: symbol(&handle, c"chdb_destroy_query_result")?,
                result_error: symbol(&handle, c"chdb_result_error")?,
                result_buffer: symbol(&handle, c"chdb_result_buffer")?,
                result_length: symbol(&handle, c"chdb_result_length")?,
                result_elapsed: symbol(&handle, c"chdb_result_elapsed")?,
                result_rows: symbol(&handle, c"chdb_result_rows_read")?,
                result_bytes: symbol(&handle, c"chdb_result_bytes_read")?,
                storage_rows_read: symbol(&handle, c"chdb_result_storage_rows_read")?,
                storage_bytes_read: symbol(&handle, c"chdb_result_storage_bytes_read")?,
                rows_written: symbol(&handle, c"chdb_result_rows_written")?,
                bytes_written: symbol(&handle, c"chdb_result_bytes_written")?,
                _handle: handle,
            }
        };
        // SAFETY: takes an int and may be called at any time before the first connection.
        unsafe { (library.set_signal_handlers_enabled)(0) };
        Ok(Arc::new(library))
    }

    /// The library's own version, such as `26.7.3`.
    pub(super) fn version(&self) -> String {
        // SAFETY: returns a static NUL-terminated string.
        unsafe { text((self.version)()) }.unwrap_or_default()
    }

    /// Stops the engine after the last connection is closed; no further connection can be opened.
    /// `false` means that some of the engine's idle threads still run: version 26.7.3 says so
    /// whenever a MergeTree table was ever open, with the data already flushed and closed.
    pub(super) fn shutdown(&self) -> bool {
        // SAFETY: safe from any thread, refuses by itself while a connection is open.
        unsafe { (self.shutdown)() == SUCCESS }
    }
}

/// Looks one function up.
///
/// # Safety
/// `T` must be the function pointer type of the C function `name`.
unsafe fn symbol<T: Copy>(library: &libloading::Library, name: &CStr) -> Result<T, LoadError> {
    // SAFETY: the caller vouches for `T`.
    let symbol = unsafe { library.get::<T>(name.to_bytes_with_nul()) }.map_err(LoadError::Load)?;
    Ok(*symbol)
}

/// Copies a C string out.
///
/// # Safety
/// `message` is null or a NUL-terminated string alive during the call.
unsafe fn text(message: *const c_char) -> Option<String> {
    // SAFETY: as the caller vouches.
    (!message.is_null()).then(|| unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned())
}

/// One connection to the engine. Stays on the thread that opened it.
pub(super) struct Connection {
    library: Arc<Library>,
    /// What `chdb_connect` returned: a pointer to the connection, which `chdb_close_conn` wants back.
    outer: NonNull<Handle>,
    /// Keeps the type on its thread.
    _thread: PhantomData<*mut ()>,
}

impl Connection {
    /// Opens a connection. `arguments` are the engine's command line, first the program's name. The
    /// first connection of the process boots the engine with them. `None` is all the engine says when
    /// it cannot open (its reason, if any, is on standard error).
    pub(super) fn open(library: &Arc<Library>, arguments: &[CString]) -> Option<Self> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` NUL-terminated strings, alive during the call; the engine copies them.
        let outer = NonNull::new(unsafe { (library.connect)(count, pointers.as_ptr()) })?;
        Some(Self { library: Arc::clone(library), outer, _thread: PhantomData })
    }

    fn handle(&self) -> Handle {
        // SAFETY: `outer` points to the connection until `close`, which only `Drop` calls.
        unsafe { *self.outer.as_ptr() }
    }

    /// Parses `sql` with this connection's settings and says what it would do.
    pub(super) fn classify(&mut self, sql: &[u8]) -> Analysis {
        let mut analysis = Analysis::unknown();
        // SAFETY: `sql` and `analysis` are alive during the call; a null target database is allowed.
        unsafe {
            (self.library.classify)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            );
        }
        analysis
    }

    /// Runs any statement but an INSERT with data, and holds the whole result.
    pub(super) fn query(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<Output, String> {
        let result = self.start(self.library.query, sql, format, params);
        // SAFETY: the call returned an owned result of this library.
        unsafe { Outcome::take(&self.library, result) }
    }

    /// Starts a SELECT whose result is fetched in pieces. The engine writes each piece as a document
    /// of its own, header included. Other statements are refused.
    pub(super) fn select(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<Select<'_>, String> {
        let stream = self.start(self.library.select, sql, format, params);
        if stream.is_null() {
            return Err("the engine gave no stream".to_owned());
        }
        // SAFETY: an owned stream handle.
        let error = unsafe { text((self.library.result_error)(stream)) };
        // The guard owns the handle also on the error path, and destroys it.
        let select = Select { connection: self, stream, ended: error.is_some() };
        error.map_or(Ok(select), Err)
    }

    /// Starts an INSERT (without FORMAT clause) whose data follows in pieces.
    pub(super) fn insert(&mut self, sql: &[u8], format: &str, params: &Params) -> Result<Insert<'_>, String> {
        let stream = self.start(self.library.insert, sql, format, params);
        if stream.is_null() {
            return Err("the engine gave no stream".to_owned());
        }
        // SAFETY: an owned insert handle.
        let error = unsafe { text((self.library.insert_error)(stream)) };
        let insert = Insert { connection: self, stream, ended: error.is_some() };
        error.map_or(Ok(insert), Err)
    }

    fn start(&self, function: WithParams, sql: &[u8], format: &str, params: &Params) -> Handle {
        let names: Vec<*const c_char> = params.iter().map(|(name, _)| name.as_ptr().cast()).collect();
        let name_lengths: Vec<usize> = params.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<*const c_char> = params.iter().map(|(_, value)| value.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = params.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: all buffers are alive during the call with the lengths given beside them; the
        // engine copies what it keeps. One statement at a time: callers hold `&mut self`.
        unsafe {
            function(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                params.len(),
            )
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once, here; streams borrow the connection and are gone already.
        unsafe { (self.library.close)(self.outer.as_ptr()) };
    }
}

/// Reads finished result handles.
struct Outcome;

impl Outcome {
    /// Copies everything out of `result` and destroys it.
    ///
    /// # Safety
    /// `result` is null or an owned result handle of `library`, not used afterwards.
    unsafe fn take(library: &Library, result: Handle) -> Result<Output, String> {
        if result.is_null() {
            return Err("the engine gave no result".to_owned());
        }
        // SAFETY: `result` is valid until `result_destroy` below; its buffer has the length told
        // beside it and is copied before.
        unsafe {
            let error = text((library.result_error)(result));
            let length = (library.result_length)(result);
            let buffer = (library.result_buffer)(result);
            let bytes = if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(buffer, length).to_vec()
            };
            let stats = Stats {
                read_rows: (library.storage_rows_read)(result),
                read_bytes: (library.storage_bytes_read)(result),
                written_rows: (library.rows_written)(result),
                written_bytes: (library.bytes_written)(result),
                result_rows: (library.result_rows)(result),
                result_bytes: (library.result_bytes)(result),
                elapsed_seconds: (library.result_elapsed)(result),
            };
            (library.result_destroy)(result);
            error.map_or(Ok(Output { bytes, stats }), Err)
        }
    }
}

/// A running SELECT. Dropped before its end, it is cancelled.
pub(super) struct Select<'c> {
    connection: &'c mut Connection,
    stream: Handle,
    ended: bool,
}

impl Select<'_> {
    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Output, String>> {
        if self.ended {
            return None;
        }
        let library = &self.connection.library;
        // SAFETY: the stream belongs to this connection and runs on its thread; the fetched result
        // is owned here.
        let piece = unsafe {
            let result = (library.select_fetch)(self.connection.handle(), self.stream);
            Outcome::take(library, result)
        };
        match piece {
            Ok(output) if output.bytes.is_empty() => {
                self.ended = true;
                None
            }
            Ok(output) => Some(Ok(output)),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        // SAFETY: cancelled only while it runs, destroyed once, before its connection.
        unsafe {
            if !self.ended {
                (self.connection.library.select_cancel)(self.connection.handle(), self.stream);
            }
            (self.connection.library.result_destroy)(self.stream);
        }
    }
}

/// A running INSERT. Dropped before [`Insert::finish`], it is cancelled and what is not yet a
/// written block is gone.
pub(super) struct Insert<'c> {
    connection: &'c mut Connection,
    stream: Handle,
    ended: bool,
}

impl Insert<'_> {
    /// Hands over a piece of the data; waits while the engine's own queue (16 pieces) is full.
    /// An error means that the insert has failed; its text is [`Insert::finish`]'s.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), ()> {
        // SAFETY: `data` is alive during the call, which copies it.
        let state =
            unsafe { (self.connection.library.insert_append)(self.stream, data.as_ptr().cast(), data.len()) };
        if state == SUCCESS { Ok(()) } else { Err(()) }
    }

    /// Ends the data and commits.
    pub(super) fn finish(mut self) -> Result<Output, String> {
        self.ended = true;
        let library = &self.connection.library;
        // SAFETY: finished once (`self` is consumed); the result is owned here, the stream is
        // destroyed by `Drop`.
        unsafe { Outcome::take(library, (library.insert_done)(self.stream)) }
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: cancelled only when not finished, destroyed once, before its connection.
        unsafe {
            if !self.ended {
                (self.connection.library.insert_cancel)(self.stream);
            }
            (self.connection.library.insert_destroy)(self.stream);
        }
    }
}
