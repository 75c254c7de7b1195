// A terminal for a full-screen table: plain ANSI sequences (ECMA-48), which every terminal of today takes.
#pragma once

#include <termios.h>

#include <string>

namespace coshim::tools {

class Terminal {
 public:
  Terminal();
  ~Terminal() { leave(); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static bool there();  // stdin and stdout are one
  // Before a line is written to stderr: the screen that was there comes back.
  static void leave();
  // Shows `text`, cut to the screen's size. Lines that begin with '*' are shown inverse, without it.
  void show(const std::string& text);
  // A key, or 0 when `seconds` went by or the screen has changed its size; -1: the user wants to end (q, ^C,
  // hang-up).
  int wait_for_key(double seconds);

 private:
  void enter();

  static Terminal* shown_;
  termios before_;
};

}  // namespace coshim::tools
