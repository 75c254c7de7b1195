#include "tools/inline_calls.h"

#include <string.h>
#include <sys/syscall.h>

namespace coshim::tools {

namespace {

constexpr long kLookBack = 40;

struct WaitingCall {
  uint32_t number;
  const char* name;
};
constexpr WaitingCall kWaiting[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_poll, "poll"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_select, "select"},
    {SYS_pause, "pause"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_connect, "connect"},
    {SYS_accept, "accept"},
    {SYS_sendto, "sendto"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_wait4, "wait4"},
    {SYS_flock, "flock"},
    {SYS_futex, "futex"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_waitid, "waitid"},
    {SYS_pselect6, "pselect6"},
    {SYS_ppoll, "ppoll"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_accept4, "accept4"},
    {SYS_recvmmsg, "recvmmsg"},
    {SYS_sendmmsg, "sendmmsg"},
    {SYS_io_uring_enter, "io_uring_enter"},
    {SYS_clone, "clone"},
    {SYS_clone3, "clone3"},
};

uint32_t number_at(const uint8_t* bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof(value));
  return value;
}

// The length of an operand that begins with ModRM byte *p (Intel's manual, volume 2, 2.1.5).
size_t operand_length(const uint8_t* p) {
  unsigned mode = *p >> 6, base = *p & 7;
  if (mode == 3) return 1;
  size_t length = base == 4 ? 2 : 1;
  if (base == 4 && mode == 0 && (p[1] & 7) == 5) return length + 4;
  if (mode == 1) return length + 1;
  if (mode == 2 || base == 5) return length + 4;
  return length;
}

// The length of an instruction that prepares the arguments of a system call; 0: it is some other one, or
// none.
size_t preparing_length(const uint8_t* p) {
  size_t prefix = (*p & 0xf0) == 0x40 ? 1 : 0;  // REX
  bool wide = prefix == 1 && (*p & 8) != 0;
  const uint8_t* code = p + prefix;
  if (*code >= 0xb8 && *code <= 0xbf) return prefix + (wide ? 9 : 5);  // mov $immediate
  if (*code >= 0x50 && *code <= 0x5f) return prefix + 1;               // push, pop
  switch (*code) {
    case 0x31:  // xor
    case 0x33:
    case 0x89:  // mov
    case 0x8b:
    case 0x8d:  // lea
    case 0x63:  // movslq
      return prefix + 1 + operand_length(code + 1);
    case 0x83:  // arithmetic with a byte
    case 0xc1:  // shifts
      return prefix + 2 + operand_length(code + 1);
    case 0xc7:  // mov $immediate to memory or register
      return prefix + 5 + operand_length(code + 1);
    default:
      return 0;
  }
}

bool leads_to(const uint8_t* p, const uint8_t* instruction) {
  while (p < instruction) {
    size_t length = preparing_length(p);
    if (length == 0) return false;
    p += length;
  }
  return p == instruction;
}

// The number put into eax by the instruction at p: mov $number,%eax, mov $number,%rax or xor %eax,%eax.
// False: none.
bool number_into_eax(const uint8_t* p, uint32_t* number) {
  if (p[0] == 0xb8) {
    *number = number_at(p + 1);
  } else if (p[0] == 0x48 && p[1] == 0xc7 && p[2] == 0xc0) {
    *number = number_at(p + 3);
  } else if ((p[0] == 0x31 || p[0] == 0x33) && p[1] == 0xc0 && (p[-1] & 0xf0) != 0x40) {
    *number = 0;
  } else {
    return false;
  }
  return true;
}

// From the instruction that sets the number on nothing but arguments up to `instruction`. Null: no such, or a
// call that waits for nothing.
const char* call_before(const uint8_t* begin, const uint8_t* instruction) {
  uint32_t number;
  for (const uint8_t* p = instruction - 2; p > begin && instruction - p <= kLookBack; --p) {
    if (!number_into_eax(p, &number) || !leads_to(p, instruction)) continue;
    for (const WaitingCall& call : kWaiting) {
      if (call.number == number) return call.name;
    }
    return nullptr;
  }
  return nullptr;
}

}  // namespace

std::map<std::string, int> inline_waiting_calls(const ElfFile& file) {
  std::map<std::string, int> found;
  for (ElfFile::Bytes code : file.code()) {
    const uint8_t* end = code.data + code.size;
    for (const uint8_t* p = code.data + 8; p + 1 < end; ++p) {
      p = static_cast<const uint8_t*>(memchr(p, 0x0f, static_cast<size_t>(end - p - 1)));
      if (p == nullptr) break;
      if (p[1] != 0x05) continue;
      if (const char* name = call_before(code.data, p)) ++found[name];
    }
  }
  return found;
}

}  // namespace coshim::tools
