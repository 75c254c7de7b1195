// runtime/config: every variable's good and bad values, and what is said about them.
#include "runtime/config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "runtime/base/parse.h"
#include "tests/unit/config_fixture.h"

namespace coshim {
namespace {

long lines(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class ConfigTest : public ConfigFixture {
 protected:
  // One line that names the variable and shows the value; nothing else.
  void expect_malformed(const std::string& name, const std::string& value) {
    std::string output = read({name + "=" + value});
    EXPECT_EQ(lines(output), 1) << name << "=" << value << "\n" << output;
    EXPECT_TRUE(contains(output, "coshim: error: " + name + ": malformed value \"" + value + "\"")) << output;
  }
  void expect_silent(const std::string& entry) { EXPECT_EQ(read({entry}), "") << entry; }
};

TEST_F(ConfigTest, NothingSetMeansDefaultsAndSilence) {
  EXPECT_EQ(read({"PATH=/bin", "HOME=/root"}), "");
  EXPECT_FALSE(g_config.disabled);
  EXPECT_FALSE(g_config.strict);
  EXPECT_EQ(g_config.stack_size, 0U);
  EXPECT_EQ(g_config.stack_mode, StackMode::elastic);
  EXPECT_EQ(g_config.guard_size, 0U);
  EXPECT_EQ(g_config.workers, 0);
  EXPECT_EQ(g_config.hog_time, 10000000);
  EXPECT_EQ(g_config.native_patterns, nullptr);
  EXPECT_EQ(g_config.dump_signal, 63);
  EXPECT_EQ(g_config.dump_path, nullptr);
  EXPECT_FALSE(g_config.dump_json);
  EXPECT_FALSE(g_config.stats);
  EXPECT_EQ(g_log_level, LogLevel::warn);
}

TEST_F(ConfigTest, NoEnvironmentAtAll) {
  g_config.workers = 5;
  read_config(nullptr, nullptr);
  EXPECT_EQ(g_config.workers, 0);
  EXPECT_EQ(g_config.dump_signal, 63);
}

TEST_F(ConfigTest, TakesGoodValues) {
  EXPECT_EQ(
      read({"COSHIM_STACK_SIZE=64K", "COSHIM_STACK_MODE=private", "COSHIM_GUARD_SIZE=8K", "COSHIM_WORKERS=3",
            "COSHIM_HOG_MS=25", "COSHIM_NATIVE=worker_*;libfoo.so", "COSHIM_DUMP_SIGNAL=SIGUSR2",
            "COSHIM_DUMP_PATH=/tmp/dump.%p", "COSHIM_DUMP_FORMAT=json", "COSHIM_DUMP_FULL=1",
            "COSHIM_LOG=debug", "COSHIM_STATS=1", "COSHIM_STRICT=1", "COSHIM_DISABLE=0", "COSHIM_IO=epoll"}),
      "");
  EXPECT_EQ(g_config.stack_size, 65536U);
  EXPECT_EQ(g_config.guard_size, 8192U);
  EXPECT_EQ(g_config.workers, 3);
  EXPECT_EQ(g_config.hog_time, 25000000);
  EXPECT_STREQ(g_config.native_patterns, "worker_*;libfoo.so");  // though the environment is gone
  EXPECT_EQ(g_config.dump_signal, SIGUSR2);
  EXPECT_STREQ(g_config.dump_path, "/tmp/dump.%p");
  EXPECT_TRUE(g_config.dump_json);
  EXPECT_TRUE(g_config.dump_full);
  EXPECT_TRUE(g_config.stats);
  EXPECT_TRUE(g_config.strict);
  EXPECT_FALSE(g_config.disabled);
  EXPECT_EQ(g_log_level, LogLevel::debug);
}

TEST_F(ConfigTest, ReadingAgainStartsFromTheDefaults) {
  read({"COSHIM_WORKERS=3", "COSHIM_LOG=debug"});
  EXPECT_EQ(read({}), "");
  EXPECT_EQ(g_config.workers, 0);
  EXPECT_EQ(g_log_level, LogLevel::warn);
}

TEST_F(ConfigTest, TheFirstOfTwoCounts) {
  EXPECT_EQ(read({"COSHIM_WORKERS=3", "COSHIM_WORKERS=rubbish"}), "");
  EXPECT_EQ(g_config.workers, 3);
}

TEST_F(ConfigTest, EveryVariableRefusesTheEmptyValue) {
  size_t count = 0;
  const ConfigVariable* variables = config_variables(&count);
  for (size_t i = 0; i < count; ++i) expect_malformed(variables[i].name, "");
}

TEST_F(ConfigTest, StackSize) {
  for (const char* bad :
       {"16383", "15K", "0", "-64K", "64KB", "big", "99999999999G", "65T", "18446744073709551615"}) {
    expect_malformed("COSHIM_STACK_SIZE", bad);
    EXPECT_EQ(g_config.stack_size, 0U);
  }
  expect_silent("COSHIM_STACK_SIZE=16K");
  EXPECT_EQ(g_config.stack_size, 16384U);
  expect_silent("COSHIM_STACK_SIZE=2G");
  EXPECT_EQ(g_config.stack_size, size_t{2} << 30);
}

TEST_F(ConfigTest, GuardSize) {
  for (const char* bad : {"0", "-1", "4K ", "page"}) expect_malformed("COSHIM_GUARD_SIZE", bad);
  expect_silent("COSHIM_GUARD_SIZE=1");
  EXPECT_EQ(g_config.guard_size, 1U);
}

TEST_F(ConfigTest, Workers) {
  for (const char* bad : {"0", "1025", "-1", "4x", " 4", "four", "4294967297"}) {
    expect_malformed("COSHIM_WORKERS", bad);
    EXPECT_EQ(g_config.workers, 0);
  }
  expect_silent("COSHIM_WORKERS=1024");
  EXPECT_EQ(g_config.workers, 1024);
}

TEST_F(ConfigTest, HogTime) {
  for (const char* bad : {"0", "0ms", "-5", "10 ms", "1m", "99999999999999999999"}) {
    expect_malformed("COSHIM_HOG_MS", bad);
    EXPECT_EQ(g_config.hog_time, 10000000);
  }
  expect_silent("COSHIM_HOG_MS=250us");
  EXPECT_EQ(g_config.hog_time, 250000);
}

TEST_F(ConfigTest, DumpSignal) {
  for (const char* bad :
       {"0", "65", "KILL", "SIGSTOP", "9", "32", "33", "SEGV", "11", "BUS", "ILL", "FPE", "RTMAX+1"}) {
    expect_malformed("COSHIM_DUMP_SIGNAL", bad);
    EXPECT_EQ(g_config.dump_signal, 63);
  }
  expect_silent("COSHIM_DUMP_SIGNAL=RTMIN+2");
  EXPECT_EQ(g_config.dump_signal, 36);
  expect_silent("COSHIM_DUMP_SIGNAL=12");
  EXPECT_EQ(g_config.dump_signal, 12);
}

TEST_F(ConfigTest, Words) {
  expect_malformed("COSHIM_STACK_MODE", "Private");
  expect_malformed("COSHIM_STACK_MODE", "none");
  expect_malformed("COSHIM_IO", "select");
  expect_malformed("COSHIM_DUMP_FORMAT", "xml");
  expect_malformed("COSHIM_LOG", "verbose");
  EXPECT_EQ(g_log_level, LogLevel::warn);
  for (const char* name : {"COSHIM_STATS", "COSHIM_STRICT", "COSHIM_DISABLE"}) {
    expect_malformed(name, "yes");
    expect_malformed(name, "2");
  }
  EXPECT_FALSE(g_config.disabled);
}

TEST_F(ConfigTest, LogLevels) {
  expect_silent("COSHIM_LOG=error");
  EXPECT_EQ(g_log_level, LogLevel::error);
  expect_silent("COSHIM_LOG=warn");
  EXPECT_EQ(g_log_level, LogLevel::warn);
  expect_silent("COSHIM_LOG=info");
  EXPECT_EQ(g_log_level, LogLevel::info);
}

TEST_F(ConfigTest, TooLongTextsAreRefused) {
  std::string fits(4095, 'x'), too_long(4096, 'x');
  for (const char* name : {"COSHIM_NATIVE", "COSHIM_DUMP_PATH"}) {
    expect_silent(std::string(name) + "=" + fits);
    EXPECT_EQ(lines(read({std::string(name) + "=" + too_long})), 1);
  }
  EXPECT_EQ(g_config.native_patterns, nullptr);
  EXPECT_EQ(g_config.dump_path, nullptr);
}

// One warning, and the default.
TEST_F(ConfigTest, WhatIsNotSupportedYetIsNamed) {
  for (const char* entry : {"COSHIM_IO=uring"}) {
    std::string output = read({entry});
    std::string name(entry, strchr(entry, '='));
    EXPECT_EQ(lines(output), 1) << output;
    EXPECT_TRUE(contains(output, "coshim: warn: " + name + ": ")) << output;
    EXPECT_TRUE(contains(output, "not supported yet")) << output;
    EXPECT_EQ(g_config.stack_mode, StackMode::elastic);
  }
  // Asking for what is the default anyway asks for nothing.
  for (const char* entry : {"COSHIM_STACK_MODE=private", "COSHIM_IO=epoll", "COSHIM_SHARED_STACKS=4"}) {
    expect_silent(entry);
  }
  expect_silent("COSHIM_STACK_MODE=shared");
  EXPECT_EQ(g_config.stack_mode, StackMode::shared);
  expect_silent("COSHIM_SHARED_STACKS=1024");
  EXPECT_EQ(g_config.shared_stacks, 1024);
  for (const char* bad : {"0", "-1", "1025", "x"}) expect_malformed("COSHIM_SHARED_STACKS", bad);
  for (const char* bad : {"-1s", "soon", "1h"}) expect_malformed("COSHIM_STACK_IDLE", bad);
}

TEST_F(ConfigTest, ElasticStacks) {
  EXPECT_EQ(read({"COSHIM_STACK_MODE=elastic", "COSHIM_STACK_IDLE=250ms"}), "");
  EXPECT_EQ(g_config.stack_mode, StackMode::elastic);
  EXPECT_EQ(g_config.stack_idle, 250000000);
  EXPECT_EQ(read({"COSHIM_STACK_IDLE=1"}), "");
  EXPECT_EQ(g_config.stack_idle, 1000000000);
}

TEST_F(ConfigTest, WarningsObeyTheLevelWhereverItStands) {
  EXPECT_EQ(read({"COSHIM_IO=uring", "COSHIM_NONSENSE=1", "COSHIM_LOG=error"}), "");
  EXPECT_EQ(lines(read({"COSHIM_WORKERS=x", "COSHIM_LOG=error"})), 1);
}

TEST_F(ConfigTest, OneLineEachProblem) {
  std::string output =
      read({"COSHIM_WORKERS=x", "COSHIM_STACK_SIZE=1", "COSHIM_IO=uring", "COSHIM_NONSENSE="});
  EXPECT_EQ(lines(output), 4) << output;
}

TEST_F(ConfigTest, AValueCannotBreakTheLine) {
  std::string output = read({"COSHIM_WORKERS=1\ncoshim: forged\x1b[2J\xff", "COSHIM_BAD\nNAME=1"});
  EXPECT_EQ(lines(output), 2);
  EXPECT_TRUE(contains(output, "\"1?coshim: forged?[2J?\"")) << output;
  EXPECT_TRUE(contains(output, "COSHIM_BAD?NAME: unknown")) << output;
  output = read({"COSHIM_WORKERS=" + std::string(10000, 'x')});
  EXPECT_EQ(lines(output), 1);
  EXPECT_TRUE(contains(output, std::string(64, 'x') + "...\"; default: the CPUs")) << output;
}

TEST_F(ConfigTest, UnknownNames) {
  EXPECT_EQ(read({"COSHIM_WORKER=4"}),
            "coshim: warn: COSHIM_WORKER: unknown variable; did you mean COSHIM_WORKERS?\n");
  EXPECT_EQ(read({"COSHIM_STACKSIZE=64K"}),
            "coshim: warn: COSHIM_STACKSIZE: unknown variable; did you mean COSHIM_STACK_SIZE?\n");
  EXPECT_EQ(read({"COSHIM_LGO=info"}),
            "coshim: warn: COSHIM_LGO: unknown variable; did you mean COSHIM_LOG?\n");
  EXPECT_EQ(read({"COSHIM_ELEPHANTS=4"}), "coshim: warn: COSHIM_ELEPHANTS: unknown variable\n");
  EXPECT_EQ(read({"COSHIM_" + std::string(5000, 'X') + "=1"}),
            "coshim: warn: COSHIM_" + std::string(57, 'X') + "...: unknown variable\n");
  EXPECT_EQ(lines(read({"COSHIM_=1"})), 1);
  EXPECT_EQ(g_config.workers, 0);
}

TEST_F(ConfigTest, WhatIsNotOursIsLeftAlone) {
  EXPECT_EQ(read({"COSHIM=1", "XCOSHIM_WORKERS=x", "coshim_workers=x", "COSHIM_WORKERS", "COSHIM_NONSENSE",
                  "", "=x", "COSHIMWORKERS=1"}),
            "");
}

TEST_F(ConfigTest, OnlyAndSkipDecideByTheProgramsName) {
  struct {
    std::vector<std::string> environment;
    const char* program;
    bool disabled;
  } cases[] = {
      {{"COSHIM_ONLY=nginx"}, "nginx", false},
      {{"COSHIM_ONLY=nginx"}, "sed", true},
      {{"COSHIM_ONLY=a*,python3*;b?"}, "python3.11", false},
      {{"COSHIM_ONLY=a*,python3*;b?"}, "bc", false},
      {{"COSHIM_ONLY=a*,python3*;b?"}, "bcd", true},
      {{"COSHIM_ONLY=nginx"}, "", true},
      {{"COSHIM_SKIP=sh,sed"}, "sed", true},
      {{"COSHIM_SKIP=sh,sed"}, "server", false},
      {{"COSHIM_SKIP=*"}, "server", true},
      {{"COSHIM_ONLY=s*", "COSHIM_SKIP=sh"}, "server", false},
      {{"COSHIM_ONLY=s*", "COSHIM_SKIP=sh"}, "sh", true},
      {{"COSHIM_ONLY=,,nginx;;"}, "nginx", false},
      {{"COSHIM_DISABLE=1"}, "server", true},
      {{"COSHIM_DISABLE=0"}, "server", false},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(read(one.environment, one.program), "");
    EXPECT_EQ(g_config.disabled, one.disabled) << one.environment[0] << " for " << one.program;
  }
  expect_malformed("COSHIM_ONLY", ",;");
  EXPECT_FALSE(g_config.disabled);
  expect_malformed("COSHIM_SKIP", ",");
  expect_malformed("COSHIM_NATIVE", ";");
  Environment environment({"COSHIM_ONLY=nginx"});
  read_config(environment.get(), nullptr);
  EXPECT_TRUE(g_config.disabled);
}

// The server's sh and sed inherit the environment: what stays out says nothing, opens nothing and ends
// nothing.
TEST_F(ConfigTest, WhoStaysOutIsSilent) {
  char path[] = "/tmp/coshim-unit-XXXXXX";
  ASSERT_NE(mkdtemp(path), nullptr);
  std::string log = std::string(path) + "/log";
  for (const char* out : {"COSHIM_DISABLE=1", "COSHIM_ONLY=other", "COSHIM_SKIP=server"}) {
    EXPECT_EQ(read({out, "COSHIM_STRICT=1", "COSHIM_WORKERS=x", "COSHIM_NONSENSE=1", "COSHIM_IO=uring",
                    "COSHIM_LOG_PATH=" + log}),
              "");
    EXPECT_TRUE(g_config.disabled);
    EXPECT_NE(access(log.c_str(), F_OK), 0);
  }
  rmdir(path);
}

TEST(MatchesAny, Lists) {
  EXPECT_TRUE(matches_any("a,b;c", "c"));
  EXPECT_TRUE(matches_any("*", ""));
  EXPECT_FALSE(matches_any("a,b;c", "a,b"));
  EXPECT_FALSE(matches_any("", ""));
  EXPECT_FALSE(matches_any(",;", ""));
  EXPECT_FALSE(matches_any(nullptr, "a"));
  EXPECT_FALSE(matches_any("a", nullptr));
}

// ---- COSHIM_LOG_PATH

class LogPathTest : public ConfigTest {
 protected:
  void SetUp() override {
    ConfigTest::SetUp();
    ASSERT_NE(mkdtemp(directory_), nullptr);
    log_ = std::string(directory_) + "/log";
    memory_log_ = g_log_fd;
  }
  void TearDown() override {
    g_log_fd = memory_log_;
    unlink(log_.c_str());
    rmdir(directory_);
    ConfigTest::TearDown();
  }
  std::string contents() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  char directory_[32] = "/tmp/coshim-unit-XXXXXX";
  std::string log_;
  int memory_log_ = -1;
};

TEST_F(LogPathTest, LinesGoToTheFileAndAreAppended) {
  std::ofstream(log_) << "before\n";
  EXPECT_EQ(read({"COSHIM_WORKER=4", "COSHIM_LOG_PATH=" + log_}), "");
  EXPECT_EQ(contents(),
            "before\ncoshim: warn: COSHIM_WORKER: unknown variable; did you mean COSHIM_WORKERS?\n");
}

TEST_F(LogPathTest, TheDescriptorIsHighPrivateAndClosedOnExec) {
  int lowest = dup(0);
  ASSERT_GE(lowest, 0);
  close(lowest);
  mode_t mask = umask(0);
  EXPECT_EQ(read({"COSHIM_LOG_PATH=" + log_}), "");
  umask(mask);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_GE(g_log_fd, limit.rlim_cur > 1001 ? 1000 : 15);
  EXPECT_EQ(fcntl(g_log_fd, F_GETFD), FD_CLOEXEC);
  EXPECT_NE(fcntl(g_log_fd, F_GETFL) & O_APPEND, 0);
  struct stat status {};
  ASSERT_EQ(fstat(g_log_fd, &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  int next = dup(0);
  EXPECT_EQ(next, lowest);  // as if we had opened nothing
  close(next);
}

TEST_F(LogPathTest, ALowLimitOfDescriptorsStillWorks) {
  rlimit saved{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &saved), 0);
  rlimit low = saved;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  read({"COSHIM_NONSENSE=1", "COSHIM_LOG_PATH=" + log_});
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &saved), 0);
  EXPECT_LT(g_log_fd, 64);
  EXPECT_GT(g_log_fd, 30);
  EXPECT_EQ(lines(contents()), 1);
}

TEST_F(LogPathTest, ReadingAgainLeaksNothing) {
  read({"COSHIM_LOG_PATH=" + log_});
  int first = g_log_fd;
  read({"COSHIM_LOG_PATH=" + log_});
  read({"COSHIM_LOG_PATH=" + log_});
  EXPECT_LE(g_log_fd, first + 1);
}

TEST_F(LogPathTest, ASymbolicLinkIsNotFollowed) {
  std::string target = log_ + ".target";
  ASSERT_EQ(symlink(target.c_str(), log_.c_str()), 0);
  std::string output = read({"COSHIM_LOG_PATH=" + log_});
  EXPECT_EQ(lines(output), 1);
  EXPECT_TRUE(contains(output, "COSHIM_LOG_PATH")) << output;
  EXPECT_NE(access(target.c_str(), F_OK), 0);
  EXPECT_EQ(g_log_fd, memory_log_);
}

TEST_F(LogPathTest, APathThatCannotBeOpened) {
  std::string output = read({"COSHIM_LOG_PATH=/nonexistent/log", "COSHIM_WORKERS=2"});
  EXPECT_EQ(lines(output), 1);
  EXPECT_TRUE(contains(output, "COSHIM_LOG_PATH: can't open \"/nonexistent/log\" (errno 2)")) << output;
  EXPECT_EQ(g_config.workers, 2);
}

// ---- COSHIM_STRICT

void read_to_stderr(const std::vector<std::string>& entries) {
  g_log_fd = 2;
  Environment environment(entries);
  read_config(environment.get(), "server");
  _exit(0);
}

TEST(StrictDeathTest, AMalformedValueExits78AfterItsLine) {
  EXPECT_EXIT(read_to_stderr({"COSHIM_WORKERS=x", "COSHIM_STRICT=1"}), ::testing::ExitedWithCode(78),
              "^coshim: error: COSHIM_WORKERS: malformed value \"x\"[^\n]*\n$");
  EXPECT_EXIT(read_to_stderr({"COSHIM_STRICT=1", "COSHIM_LOG_PATH=/nonexistent/log"}),
              ::testing::ExitedWithCode(78), "COSHIM_LOG_PATH");
}

TEST(StrictDeathTest, AnythingElseGoesOn) {
  EXPECT_EXIT(read_to_stderr({"COSHIM_WORKERS=2", "COSHIM_STRICT=1"}), ::testing::ExitedWithCode(0), "^$");
  EXPECT_EXIT(read_to_stderr({"COSHIM_WORKERS=x", "COSHIM_STRICT=0"}), ::testing::ExitedWithCode(0),
              "COSHIM_WORKERS");
  EXPECT_EXIT(read_to_stderr({"COSHIM_IO=uring", "COSHIM_NONSENSE=1", "COSHIM_STRICT=1"}),
              ::testing::ExitedWithCode(0), "COSHIM_IO[^\n]*\n.*COSHIM_NONSENSE");
}

// ---- the table

TEST(ConfigTable, HoldsTheDesignsVariablesOnce) {
  size_t count = 0;
  const ConfigVariable* variables = config_variables(&count);
  std::set<std::string> names;
  for (size_t i = 0; i < count; ++i) {
    EXPECT_TRUE(names.insert(variables[i].name).second) << variables[i].name;
    EXPECT_GT(strlen(variables[i].meaning), 0U);
    EXPECT_GT(strlen(variables[i].default_text), 0U);
  }
  EXPECT_EQ(names, (std::set<std::string>{"COSHIM_STACK_SIZE",  "COSHIM_STACK_MODE", "COSHIM_SHARED_STACKS",
                                          "COSHIM_STACK_IDLE",  "COSHIM_GUARD_SIZE", "COSHIM_WORKERS",
                                          "COSHIM_HOG_MS",      "COSHIM_BLOCKING",   "COSHIM_IO",
                                          "COSHIM_NATIVE",      "COSHIM_ONLY",       "COSHIM_SKIP",
                                          "COSHIM_DUMP_SIGNAL", "COSHIM_DUMP_PATH",  "COSHIM_DUMP_FORMAT",
                                          "COSHIM_DUMP_FULL",   "COSHIM_LOG",        "COSHIM_LOG_PATH",
                                          "COSHIM_STATS",       "COSHIM_STRICT",     "COSHIM_DISABLE"}));
}

// The longest line that a row can cause is not cut: default and meaning are all there.
TEST_F(ConfigTest, EveryMessageFitsItsLine) {
  size_t count = 0;
  const ConfigVariable* variables = config_variables(&count);
  for (size_t i = 0; i < count; ++i) {
    std::string name = variables[i].name;
    if (name == "COSHIM_NATIVE" || name == "COSHIM_ONLY" || name == "COSHIM_SKIP" ||
        name == "COSHIM_DUMP_PATH" || name == "COSHIM_LOG_PATH") {
      continue;  // a long value is good there
    }
    std::string output = read({name + "=" + std::string(200, '!')});
    EXPECT_TRUE(contains(output, std::string("; meaning: ") + variables[i].meaning + "\n")) << output;
    EXPECT_TRUE(contains(output, std::string("default: ") + variables[i].default_text)) << output;
  }
}

}  // namespace
}  // namespace coshim
