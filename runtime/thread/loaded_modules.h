// The dynamic loader's list of modules, asked for by us. glibc's lock for it is not reset in the child of a
// fork (2.36), where whoever asks again, to open a library say, would wait for ever; natively nobody asked at
// that moment. So a fork waits for us.
#pragma once

#include <link.h>
#include <stddef.h>

namespace coshim {

// dl_iterate_phdr(3).
int for_each_module(int (*visit)(dl_phdr_info*, size_t, void*), void* context);

// One of them asks for executable stacks (GNU C's nested functions, assembly without a .note.GNU-stack):
// glibc gives all threads such ones, then.
bool module_wants_executable_stacks();

// One of them, other than the one that `definition` lies in and this library, has this string among its
// dynamic symbols: it may call the function. (What is found by dlsym(3) is not seen.)
bool module_names(const char* symbol, const void* definition);

void lock_modules_for_fork();
void unlock_modules_after_fork(bool child);

}  // namespace coshim
