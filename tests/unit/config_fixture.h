// read_config with an environment of the test's, and the lines that it wrote.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/base/log.h"
#include "runtime/config.h"

namespace coshim {

// An envp array whose strings lie in blocks of exactly their size, so that AddressSanitizer sees each byte
// too far.
class Environment {
 public:
  explicit Environment(const std::vector<std::string>& entries) {
    for (const std::string& entry : entries) {
      blocks_.push_back(std::make_unique<char[]>(entry.size() + 1));
      entry.copy(blocks_.back().get(), entry.size());
      pointers_.push_back(blocks_.back().get());
    }
    pointers_.push_back(nullptr);
  }
  char* const* get() const { return pointers_.data(); }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::vector<char*> pointers_;
};

// The log goes to a file in memory while such a test runs.
class ConfigFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    log_ = memfd_create("log", MFD_CLOEXEC);
    ASSERT_GE(log_, 0);
    saved_fd_ = g_log_fd;
    saved_level_ = g_log_level;
    g_log_fd = log_;
  }
  void TearDown() override {
    g_log_fd = saved_fd_;
    g_log_level = saved_level_;
    g_config = Config{};
    close(log_);
  }

  // What read_config wrote. The environment is gone afterwards, as after a program's change of its title.
  std::string read(const std::vector<std::string>& entries, const char* program = "server") {
    {
      Environment environment(entries);
      read_config(environment.get(), program);
    }
    off_t length = lseek(log_, 0, SEEK_CUR);
    std::string text(static_cast<size_t>(length), '\0');
    EXPECT_EQ(pread(log_, text.data(), text.size(), 0), length);
    EXPECT_EQ(ftruncate(log_, 0), 0);
    lseek(log_, 0, SEEK_SET);
    return text;
  }

 private:
  int log_ = -1;
  int saved_fd_ = -1;
  LogLevel saved_level_{};
};

}  // namespace coshim
