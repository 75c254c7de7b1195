#include "tools/terminal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace coshim::tools {

namespace {

volatile sig_atomic_t g_end, g_again;

void on_end(int) {
  g_end = 1;
}
void on_again(int) {
  g_again = 1;
}

void on_signal(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;  // without SA_RESTART: poll() ends
  sigaction(signal, &action, nullptr);
}

}  // namespace

bool Terminal::there() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

Terminal::Terminal() {
  tcgetattr(STDIN_FILENO, &before_);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) on_signal(signal, &on_end);
  for (int signal : {SIGWINCH, SIGCONT}) on_signal(signal, &on_again);
  enter();
  shown_ = this;
}

Terminal* Terminal::shown_;

void Terminal::leave() {
  if (shown_ == nullptr) return;
  fputs("\033[?25h\033[?1049l", stdout);  // the cursor, the screen that was there
  fflush(stdout);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &shown_->before_);
  shown_ = nullptr;
}

void Terminal::enter() {
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  fputs("\033[?1049h\033[?25l", stdout);
}

void Terminal::show(const std::string& text) {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
    size = {24, 80, 0, 0};
  std::string screen = "\033[H";
  size_t rows = 0;
  for (size_t at = 0; at < text.size() && rows < size.ws_row; ++rows) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    bool inverse = text[at] == '*';
    std::string line = text.substr(at + (inverse ? 1 : 0), end - at - (inverse ? 1 : 0));
    if (line.size() > size.ws_col) line.resize(size.ws_col);
    if (inverse) {
      line.resize(size.ws_col, ' ');
      line.insert(0, "\033[7m");
      line += "\033[0m";
    }
    if (rows > 0) screen += "\r\n";
    screen += line;
    screen += "\033[K";
    at = end + 1;
  }
  fputs((screen + "\033[J").c_str(), stdout);
  fflush(stdout);
}

int Terminal::wait_for_key(double seconds) {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  int ready = g_end != 0 ? 0 : poll(&input, 1, static_cast<int>(seconds * 1000));
  if (g_end != 0) return -1;
  if (g_again != 0) {
    g_again = 0;
    enter();
    return 0;
  }
  if (ready <= 0) return 0;
  unsigned char key;
  return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' ? key : -1;
}

}  // namespace coshim::tools
