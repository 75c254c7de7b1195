// A library with thread_local objects, a static one, a constructor and a destructor function, which all
// report to the program that opens it: see thread/dlopen_in_threads.c.
static void (*report)(const char*);

namespace {

struct PerThread {
  int value = 7;
  ~PerThread() { report("thread_local object ends"); }
};
thread_local PerThread object;

struct Static {
  ~Static() { report("static object ends"); }
} of_library;

__attribute__((constructor)) void loaded() {
  static_cast<void>(of_library);
}
__attribute__((destructor)) void unloaded() {
  if (report != nullptr) report("unloaded");
}

}  // namespace

extern "C" void library_report_to(void (*function)(const char*));
extern "C" int* library_value();

extern "C" void library_report_to(void (*function)(const char*)) {
  report = function;
}
extern "C" int* library_value() {
  return &object.value;
}
