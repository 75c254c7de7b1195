// 100,000 environments of random strings through read_config, and as many random texts through each parser:
// whatever comes in, what comes out is within bounds and each line is one line. Run it in the asan-unit build
// too.
#include <gtest/gtest.h>
#include <string.h>

#include <iterator>
#include <random>

#include "runtime/base/parse.h"
#include "tests/unit/config_fixture.h"

namespace coshim {
namespace {

constexpr int kRounds = 100000;

class RandomText {
 public:
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(generator_); }

  std::string bytes(size_t longest) {
    std::string text(below(longest + 1), '\0');
    for (char& c : text) c = static_cast<char>(1 + below(255));
    return text;
  }

  // A value: rubbish, or pieces of good ones, so that many are right or nearly so.
  std::string value() {
    static const char* const kPieces[] = {"0",
                                          "1",
                                          "2",
                                          "16",
                                          "64",
                                          "1024",
                                          "4294967296",
                                          "9223372036854775807",
                                          "18446744073709551615",
                                          "K",
                                          "k",
                                          "M",
                                          "G",
                                          "ns",
                                          "us",
                                          "ms",
                                          "s",
                                          "SIG",
                                          "USR1",
                                          "KILL",
                                          "RTMIN",
                                          "RTMAX",
                                          "+",
                                          "-",
                                          "private",
                                          "shared",
                                          "elastic",
                                          "epoll",
                                          "uring",
                                          "text",
                                          "json",
                                          "warn",
                                          "info",
                                          "debug",
                                          "error",
                                          "*",
                                          "?",
                                          ",",
                                          ";",
                                          "server",
                                          "%p",
                                          "/tmp",
                                          " ",
                                          "\n",
                                          "\xff"};
    if (below(8) == 0) return bytes(below(20) == 0 ? 6000 : 20);
    std::string text;
    for (size_t pieces = below(4); pieces > 0; --pieces) text += kPieces[below(std::size(kPieces))];
    return text;
  }

  // A name: a known one, one that is nearly known, or rubbish.
  std::string name() {
    size_t count = 0;
    const ConfigVariable* variables = config_variables(&count);
    std::string text = variables[below(count)].name;
    switch (below(8)) {
      case 0:
        return "COSHIM_" + bytes(60);
      case 1:
        return bytes(20);
      case 2:
        text[below(text.size())] = static_cast<char>(1 + below(255));
        return text;
      case 3:
        text.erase(below(text.size()), 1 + below(3));
        return text;
      case 4:
        text.insert(below(text.size() + 1), bytes(3));
        return text;
      default:
        return text;
    }
  }

  std::string entry() {
    if (below(20) == 0) return bytes(40);
    std::string text = name() + "=" + value();
    // Files are not to be made, and the test is to live.
    if (text.rfind("COSHIM_LOG_PATH=", 0) == 0) text.insert(strlen("COSHIM_LOG_PATH="), "/nonexistent/");
    if (text == "COSHIM_STRICT=1") text = "COSHIM_STRICT=0";
    return text;
  }

 private:
  std::mt19937_64 generator_{20240607};
};

class ConfigRandomTest : public ConfigFixture {};

void expect_whole_lines(const std::string& output, size_t most) {
  size_t count = 0;
  for (size_t start = 0; start < output.size(); ++count) {
    size_t end = output.find('\n', start);
    ASSERT_NE(end, std::string::npos) << output;
    std::string line = output.substr(start, end - start);
    ASSERT_TRUE(line.rfind("coshim: error: ", 0) == 0 || line.rfind("coshim: warn: ", 0) == 0) << line;
    for (char c : line) ASSERT_TRUE(c >= ' ' && c <= '~') << line;
    start = end + 1;
  }
  ASSERT_LE(count, most) << output;
}

TEST_F(ConfigRandomTest, EnvironmentsOfRandomStrings) {
  RandomText random;
  size_t silent = 0, complaining = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::string> entries(1 + random.below(4));
    for (std::string& entry : entries) entry = random.entry();
    std::string output = read(entries);
    ++(output.empty() ? silent : complaining);
    ASSERT_NO_FATAL_FAILURE(expect_whole_lines(output, entries.size()));
    ASSERT_TRUE(g_config.stack_size == 0 || g_config.stack_size >= 16384) << entries[0];
    ASSERT_LE(g_config.stack_size, size_t{1} << 46);
    ASSERT_LE(g_config.guard_size, size_t{1} << 46);
    ASSERT_TRUE(g_config.stack_idle >= 0 && g_config.stack_idle < kForever);
    ASSERT_TRUE(g_config.workers >= 0 && g_config.workers <= 1024);
    ASSERT_TRUE(g_config.hog_time > 0 && g_config.hog_time < kForever);
    ASSERT_TRUE(g_config.dump_signal >= 1 && g_config.dump_signal <= 64 && g_config.dump_signal != 9);
    ASSERT_FALSE(g_config.strict);
    if (g_config.native_patterns != nullptr) {
      ASSERT_LT(strlen(g_config.native_patterns), 4096U);
    }
    if (g_config.dump_path != nullptr) {
      ASSERT_LT(strlen(g_config.dump_path), 4096U);
    }
    ASSERT_TRUE(!g_config.disabled || output.empty()) << output;
  }
  // Else the strings would not have reached both sides.
  EXPECT_GT(silent, size_t{kRounds / 20});
  EXPECT_GT(complaining, size_t{kRounds / 20});
}

// A text that a parser takes starts with a digit or names a signal, and holds no byte that belongs to no
// value.
TEST(ParseRandomTest, RandomTexts) {
  RandomText random;
  size_t taken = 0;
  for (int round = 0; round < kRounds; ++round) {
    Environment exact({random.value()});
    const char* text = exact.get()[0];
    std::string shown(text);
    bool digits_only = !shown.empty() && shown.find_first_not_of("0123456789") == std::string::npos;

    uint64_t number = 7;
    bool good = parse_integer(text, 0, UINT64_MAX, &number);
    ASSERT_TRUE(!good || digits_only) << shown;
    ASSERT_TRUE(good || number == 7);
    size_t size = 0;
    bool good_size = parse_size(text, &size);
    ASSERT_TRUE(!good || (good_size && size == number)) << shown;  // each integer is a size
    ASSERT_TRUE(!good_size || shown.find_first_not_of("0123456789KMGkmg") == std::string::npos) << shown;
    Nanoseconds duration = 0;
    bool good_duration = parse_duration(text, 1, &duration);
    ASSERT_TRUE(!good_duration || (duration >= 0 && duration < kForever)) << shown;
    ASSERT_TRUE(!good_duration || shown.find_first_not_of("0123456789nums") == std::string::npos) << shown;
    int signal = 1;
    bool good_signal = parse_signal(text, &signal);
    ASSERT_TRUE(signal >= 1 && signal <= 64) << shown;
    bool flag = false;
    bool good_flag = parse_boolean(text, &flag);
    ASSERT_EQ(good_flag, shown == "0" || shown == "1");
    taken += (good || good_size || good_duration || good_signal) ? 1 : 0;
  }
  EXPECT_GT(taken, size_t{kRounds / 20});
}

// Written down and read again: the same number, or an overflow exactly when the product does not fit.
TEST(ParseRandomTest, SizesAndDurationsAgreeWithArithmetic) {
  std::mt19937_64 generator{7};
  for (int round = 0; round < kRounds; ++round) {
    uint64_t number = generator() >> (generator() % 64);
    std::string digits = std::to_string(number);
    for (auto [suffix, unit] :
         {std::pair<const char*, uint64_t>{"K", 1ULL << 10}, {"M", 1ULL << 20}, {"G", 1ULL << 30}}) {
      size_t size = 0;
      bool fits = number <= UINT64_MAX / unit;
      ASSERT_EQ(parse_size((digits + suffix).c_str(), &size), fits) << digits << suffix;
      if (fits) {
        ASSERT_EQ(size, number * unit);
      }
    }
    for (auto [suffix, unit] :
         {std::pair<const char*, uint64_t>{"us", 1000}, {"ms", 1000000}, {"s", 1000000000}}) {
      Nanoseconds duration = 0;
      bool fits = number <= static_cast<uint64_t>(INT64_MAX - 1) / unit;
      ASSERT_EQ(parse_duration((digits + suffix).c_str(), 1, &duration), fits) << digits << suffix;
      if (fits) {
        ASSERT_EQ(static_cast<uint64_t>(duration), number * unit);
      }
    }
  }
}

}  // namespace
}  // namespace coshim
