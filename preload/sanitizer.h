// Programs built with a sanitizer: their threads stay native.
#pragma once

namespace coshim {

// The sanitizer's name where the program, or a library that it was linked with, brings one that must know
// every thread and its stack; else null.
const char* sanitizer_in_program();

}  // namespace coshim
