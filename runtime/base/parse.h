// Text from the environment into values. Strict: the whole text must be one value, so blanks, signs, trailing
// rubbish, empty texts and whatever does not fit are refused. On failure false is returned and *value keeps
// what it had. No allocation, no locale, no errno: usable before constructors have run.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/clock.h"

namespace coshim {

// Decimal digits, from `minimum` to `maximum`.
bool parse_integer(const char* text, uint64_t minimum, uint64_t maximum, uint64_t* value);
// "0" or "1".
bool parse_boolean(const char* text, bool* value);
// Bytes: "4096", "64K", "8M", "1G". The suffixes are powers of 1024, in either case.
bool parse_size(const char* text, size_t* value);
// "10ms", "1s", "250us", "40ns", in lower case; a plain number counts `plain_unit`s. Always less than
// kForever.
bool parse_duration(const char* text, Nanoseconds plain_unit, Nanoseconds* value);
// "USR1", "SIGUSR1", "RTMIN", "RTMIN+3", "SIGRTMAX-1", "10", in either case. 1 to 64. RTMIN is 34, as in
// glibc's headers and kill(1), since programs never see 32 and 33 (nptl(7)); RTMAX is the kernel's 64.
bool parse_signal(const char* text, int* value);

// Shell-style match of the whole text: *, ? and literal characters.
bool matches_glob(const char* pattern, size_t pattern_length, const char* text);

// How many insertions, removals, replacements and exchanges of neighbours apart two names are, for "did you
// mean"; SIZE_MAX when one of the two is longer than kLongestCompared.
constexpr size_t kLongestCompared = 32;
size_t edit_distance(const char* a, size_t a_length, const char* b, size_t b_length);

}  // namespace coshim
