// What stdio does inside libc cannot be hooked by name: it goes through tables of functions (struct
// _IO_jump_t, libio/libioP.h), one a kind of stream. When the runtime starts, their read, write and close
// slots are replaced in place; glibc checks that a stream's table lies in the section of tables, not what
// stands in it. The tables are found by their exported members and by their contents, and nothing is touched
// that does not look exactly as expected: then stdio blocks its kernel thread, and the monitor hands the
// processor on.
//
//   word  0, 1   zero
//        14      read    _IO_file_read
//        15      write   _IO_file_write
//        17      close   _IO_file_close, or another kind's own (popen's waits for the child)
//
// A coroutine that parks in here holds the stream's lock, as a thread natively does.
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/hook.h"
#include "preload/reach.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/lifecycle.h"

#undef p_type  // resolv.h

extern "C" {
ssize_t _IO_file_read(FILE*, void*, ssize_t);
ssize_t _IO_file_write(FILE*, const void*, ssize_t);
int _IO_file_close(FILE*);
extern const char _IO_file_jumps[];
extern const char _IO_wfile_jumps[];
}

namespace coshim {

namespace {

constexpr size_t kWords = 21, kReadWord = 14, kWriteWord = 15, kCloseWord = 17;
constexpr int kNotCancellable = 2;  // _IO_FLAGS2_NOTCANCEL, libio.h; fopen's "c"

// fopen(3), "c": calls on such a stream are no cancellation points.
class CancellationOf {
 public:
  explicit CancellationOf(const FILE* stream) : off_((stream->_flags2 & kNotCancellable) != 0) {
    if (off_) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
  }
  ~CancellationOf() {
    if (off_) pthread_setcancelstate(before_, nullptr);
  }
  CancellationOf(const CancellationOf&) = delete;
  CancellationOf& operator=(const CancellationOf&) = delete;

 private:
  bool off_;
  int before_ = 0;
};

ssize_t read_slot(FILE* stream, void* buffer, ssize_t size) {
  Reach reach(buffer);
  if (!in_coroutine()) return _IO_file_read(stream, buffer, size);
  CancellationOf cancellation(stream);
  return hook_read(stream->_fileno, buffer, static_cast<size_t>(size));
}

// As _IO_new_file_write (libio/fileops.c): all of it or an error; says how much, and moves the offset if it
// is known.
ssize_t write_slot(FILE* stream, const void* data, ssize_t size) {
  Reach reach(data);
  if (!in_coroutine()) return _IO_file_write(stream, data, size);
  CancellationOf cancellation(stream);
  const auto* bytes = static_cast<const char*>(data);
  ssize_t left = size;
  while (left > 0) {
    ssize_t count = hook_write(stream->_fileno, bytes, static_cast<size_t>(left));
    if (count < 0) {
      stream->_flags |= _IO_ERR_SEEN;
      break;
    }
    left -= count;
    bytes += count;
  }
  ssize_t written = size - left;
  if (stream->_offset >= 0) stream->_offset += written;
  return written;
}

using CloseFunction = int (*)(FILE*);
constexpr int kMaximumCloses = 4;
CloseFunction g_closes[kMaximumCloses];

template <int Index>
int close_slot(FILE* stream) {
  descriptor_closing(stream->_fileno);
  if (!in_coroutine()) return g_closes[Index](stream);
  BlockingRegion region("fclose", false);
  return g_closes[Index](stream);
}
constexpr CloseFunction kCloseSlots[kMaximumCloses] = {&close_slot<0>, &close_slot<1>, &close_slot<2>,
                                                       &close_slot<3>};

CloseFunction replacement_of(CloseFunction original) {
  for (int i = 0; i < kMaximumCloses; ++i) {
    if (g_closes[i] == nullptr) g_closes[i] = original;
    if (g_closes[i] == original) return kCloseSlots[i];
  }
  return original;
}

struct Range {
  uintptr_t low, high;
};

int find_read_only_data(dl_phdr_info* info, size_t, void* range_pointer) {
  auto table = reinterpret_cast<uintptr_t>(&_IO_file_jumps);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_GNU_RELRO) continue;
    uintptr_t low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    uintptr_t high = low + info->dlpi_phdr[i].p_memsz;
    if (table < low || table >= high) continue;
    *static_cast<Range*>(range_pointer) = {low, high & ~uintptr_t{4095}};
    return 1;
  }
  return 0;
}

bool is_stream_table(const uintptr_t* word) {
  return word[0] == 0 && word[1] == 0 && word[kReadWord] == reinterpret_cast<uintptr_t>(&_IO_file_read) &&
         word[kWriteWord] == reinterpret_cast<uintptr_t>(&_IO_file_write) && word[kCloseWord] != 0;
}

bool protect(const Range& range, int protection) {
  uintptr_t low = range.low & ~uintptr_t{4095};
  return sys::call(SYS_mprotect, low, range.high - low, protection) == 0;
}

void replace_slots(uintptr_t* word) {
  auto* original = reinterpret_cast<CloseFunction>(word[kCloseWord]);
  __atomic_store_n(&word[kReadWord], reinterpret_cast<uintptr_t>(&read_slot), __ATOMIC_RELEASE);
  __atomic_store_n(&word[kWriteWord], reinterpret_cast<uintptr_t>(&write_slot), __ATOMIC_RELEASE);
  __atomic_store_n(&word[kCloseWord], reinterpret_cast<uintptr_t>(replacement_of(original)),
                   __ATOMIC_RELEASE);
}

void stdio_start() {
  // After a fork they are replaced already.
  const auto* narrow = reinterpret_cast<const uintptr_t*>(&_IO_file_jumps);
  const auto* wide = reinterpret_cast<const uintptr_t*>(&_IO_wfile_jumps);
  if (!is_stream_table(narrow) || !is_stream_table(wide)) return;
  Range range{};
  if (dl_iterate_phdr(&find_read_only_data, &range) != 1 || !protect(range, PROT_READ | PROT_WRITE)) return;
  uintptr_t last = range.high - kWords * sizeof(uintptr_t);
  for (uintptr_t at = (range.low + 31) & ~uintptr_t{31}; at <= last;
       at += 8) {  // tables are aligned to 8 at least
    auto* word = reinterpret_cast<uintptr_t*>(at);
    if (is_stream_table(word)) replace_slots(word);
  }
  protect(range, PROT_READ);
}

__attribute__((constructor(102))) void register_stdio() {
  runtime_at_start(&stdio_start);
}

}  // namespace

}  // namespace coshim
