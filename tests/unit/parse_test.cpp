// runtime/base/parse: what is taken, and above all what is not.
#include "runtime/base/parse.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>

#include <string>

namespace coshim {
namespace {

constexpr uint64_t kUntouched = 0x5a5a;

// The parsed value, or "refused". A refusal must leave the target alone.
std::string integer(const char* text, uint64_t minimum = 0, uint64_t maximum = UINT64_MAX) {
  uint64_t value = kUntouched;
  if (parse_integer(text, minimum, maximum, &value)) return std::to_string(value);
  EXPECT_EQ(value, kUntouched) << text;
  return "refused";
}
std::string size(const char* text) {
  size_t value = kUntouched;
  if (parse_size(text, &value)) return std::to_string(value);
  EXPECT_EQ(value, kUntouched) << text;
  return "refused";
}
std::string duration(const char* text, Nanoseconds plain_unit = 1000000) {
  Nanoseconds value = kUntouched;
  if (parse_duration(text, plain_unit, &value)) return std::to_string(value);
  EXPECT_EQ(value, static_cast<Nanoseconds>(kUntouched)) << text;
  return "refused";
}
std::string boolean(const char* text) {
  bool value = false;
  if (parse_boolean(text, &value)) return value ? "yes" : "no";
  value = true;
  EXPECT_FALSE(parse_boolean(text, &value));
  EXPECT_TRUE(value) << text;
  return "refused";
}
int signal_number(const char* text) {
  int value = -7;
  if (parse_signal(text, &value)) return value;
  EXPECT_EQ(value, -7) << text;
  return 0;
}

TEST(ParseInteger, TakesDigits) {
  EXPECT_EQ(integer("0"), "0");
  EXPECT_EQ(integer("7"), "7");
  EXPECT_EQ(integer("007"), "7");
  EXPECT_EQ(integer("18446744073709551615"), "18446744073709551615");
}

TEST(ParseInteger, RefusesEverythingElse) {
  for (const char* text :
       {"", " ", "-1", "+1", " 1", "1 ", "1x", "x1", "0x10", "1.0", "1e3", "1\n", "--", "1,2",
        "18446744073709551616", "18446744073709551620", "99999999999999999999999"}) {
    EXPECT_EQ(integer(text), "refused") << "\"" << text << "\"";
  }
}

TEST(ParseInteger, KeepsToItsBounds) {
  EXPECT_EQ(integer("1", 1, 1024), "1");
  EXPECT_EQ(integer("1024", 1, 1024), "1024");
  EXPECT_EQ(integer("0", 1, 1024), "refused");
  EXPECT_EQ(integer("1025", 1, 1024), "refused");
}

TEST(ParseBoolean, TakesZeroAndOne) {
  EXPECT_EQ(boolean("0"), "no");
  EXPECT_EQ(boolean("1"), "yes");
  for (const char* text : {"", "2", "00", "01", "10", "yes", "true", "on", " 1", "1 ", "-1"}) {
    EXPECT_EQ(boolean(text), "refused") << "\"" << text << "\"";
  }
}

TEST(ParseSize, TakesSuffixes) {
  EXPECT_EQ(size("0"), "0");
  EXPECT_EQ(size("4096"), "4096");
  EXPECT_EQ(size("64K"), "65536");
  EXPECT_EQ(size("64k"), "65536");
  EXPECT_EQ(size("8M"), "8388608");
  EXPECT_EQ(size("8m"), "8388608");
  EXPECT_EQ(size("3G"), "3221225472");
  EXPECT_EQ(size("17179869183G"), "18446744072635809792");
}

TEST(ParseSize, RefusesEverythingElse) {
  for (const char* text :
       {"", "K", "-1", "-1K", "+1K", " 1K", "1K ", "1 K", "1KB", "1KiB", "1T", "1.5M", "K1", "1KK", "0x10",
        "17179869184G", "18446744073709551616", "99999999999999999999G"}) {
    EXPECT_EQ(size(text), "refused") << "\"" << text << "\"";
  }
}

TEST(ParseDuration, TakesUnits) {
  EXPECT_EQ(duration("40ns"), "40");
  EXPECT_EQ(duration("250us"), "250000");
  EXPECT_EQ(duration("10ms"), "10000000");
  EXPECT_EQ(duration("1s"), "1000000000");
  EXPECT_EQ(duration("0s"), "0");
}

TEST(ParseDuration, APlainNumberCountsTheVariablesUnit) {
  EXPECT_EQ(duration("10", 1000000), "10000000");
  EXPECT_EQ(duration("10", 1000000000), "10000000000");
  EXPECT_EQ(duration("0"), "0");
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text : {"",   "s",    "ms",   "-1s",   "-1",   "+1s", "1 s", " 1s", "1s ", "1m",
                           "1h", "1sec", "1.5s", "1e3ms", "1msx", "1n",  "1u",  "1ss", "1S",  "1Ms"}) {
    EXPECT_EQ(duration(text), "refused") << "\"" << text << "\"";
  }
}

TEST(ParseDuration, StaysBelowForever) {
  EXPECT_EQ(duration("9223372036s"), "9223372036000000000");
  EXPECT_EQ(duration("9223372037s"), "refused");
  EXPECT_EQ(duration("9223372036854775806ns"), "9223372036854775806");
  EXPECT_EQ(duration("9223372036854775807ns"), "refused");  // kForever
  EXPECT_EQ(duration("18446744073709551615ns"), "refused");
  EXPECT_EQ(duration("18446744073709551616"), "refused");
  EXPECT_EQ(duration("18446744073709551615s"), "refused");
}

TEST(ParseSignal, TakesNamesWithAndWithoutSig) {
  EXPECT_EQ(signal_number("USR1"), SIGUSR1);
  EXPECT_EQ(signal_number("SIGUSR1"), SIGUSR1);
  EXPECT_EQ(signal_number("sigusr2"), SIGUSR2);
  EXPECT_EQ(signal_number("Term"), SIGTERM);
  EXPECT_EQ(signal_number("POLL"), SIGIO);
}

// Against libc's own names: none missing, none wrong.
TEST(ParseSignal, KnowsEverySignalThatLibcNames) {
  for (int signal = 1; signal < 32; ++signal) {
    const char* name = sigabbrev_np(signal);
    ASSERT_NE(name, nullptr) << signal;
    EXPECT_EQ(signal_number(name), signal) << name;
    EXPECT_EQ(signal_number((std::string("SIG") + name).c_str()), signal) << name;
  }
}

TEST(ParseSignal, TakesNumbers) {
  EXPECT_EQ(signal_number("1"), 1);
  EXPECT_EQ(signal_number("64"), 64);
}

TEST(ParseSignal, CountsRealTimeSignals) {
  EXPECT_EQ(signal_number("RTMIN"), SIGRTMIN);
  EXPECT_EQ(signal_number("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(signal_number("RTMIN+0"), SIGRTMIN);
  EXPECT_EQ(signal_number("RTMIN+30"), 64);
  EXPECT_EQ(signal_number("RTMAX"), 64);
  EXPECT_EQ(signal_number("SIGRTMAX-1"), 63);
  EXPECT_EQ(signal_number("rtmax-30"), SIGRTMIN);
}

TEST(ParseSignal, RefusesEverythingElse) {
  for (const char* text : {"",
                           "SIG",
                           "0",
                           "65",
                           "-1",
                           "+1",
                           "1x",
                           "SIG1",
                           "USR",
                           "USR3",
                           "USR1 ",
                           " USR1",
                           "SIGSIGUSR1",
                           "RTMIN+",
                           "RTMIN-1",
                           "RTMIN+31",
                           "RTMAX+1",
                           "RTMAX-31",
                           "RTMAX-",
                           "RTMIN3",
                           "RTMIN+-1",
                           "RTMIN+1x",
                           "RTMIN+99999999999999999999",
                           "KILLER",
                           "99999999999"}) {
    EXPECT_EQ(signal_number(text), 0) << "\"" << text << "\"";
  }
}

bool glob(const char* pattern, const char* text) {
  return matches_glob(pattern, strlen(pattern), text);
}

TEST(MatchesGlob, StarQuestionMarkAndLiterals) {
  EXPECT_TRUE(glob("nginx", "nginx"));
  EXPECT_FALSE(glob("nginx", "nginx2"));
  EXPECT_FALSE(glob("nginx", "ngin"));
  EXPECT_TRUE(glob("python3*", "python3.11"));
  EXPECT_TRUE(glob("*", ""));
  EXPECT_TRUE(glob("**", "anything"));
  EXPECT_TRUE(glob("?a?", "bar"));
  EXPECT_FALSE(glob("?", ""));
  EXPECT_FALSE(glob("??", "a"));
  EXPECT_TRUE(glob("a*b*c", "aXXbYYbZZc"));
  EXPECT_FALSE(glob("a*b*c", "aXXbYYbZZcd"));
  EXPECT_TRUE(glob("*ab", "aab"));
  EXPECT_TRUE(glob("[a]", "[a]"));  // no classes: literal
  EXPECT_FALSE(glob("[a]", "a"));
  EXPECT_TRUE(glob("", ""));
  EXPECT_FALSE(glob("", "a"));
}

TEST(MatchesGlob, LooksNoFurtherThanThePatternsLength) {
  EXPECT_TRUE(matches_glob("ab,cd", 2, "ab"));
  EXPECT_TRUE(matches_glob("a*,cd", 2, "abc"));
  EXPECT_FALSE(matches_glob("ab,cd", 2, "ab,cd"));
}

TEST(MatchesGlob, ManyStarsDoNotExplode) {
  std::string text(5000, 'a');
  EXPECT_FALSE(glob("*a*a*a*a*a*a*a*a*a*a*a*a*b", text.c_str()));
}

size_t distance(const std::string& a, const std::string& b) {
  size_t forth = edit_distance(a.data(), a.size(), b.data(), b.size());
  EXPECT_EQ(forth, edit_distance(b.data(), b.size(), a.data(), a.size()));
  return forth;
}

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(distance("", ""), 0U);
  EXPECT_EQ(distance("", "abc"), 3U);
  EXPECT_EQ(distance("workers", "workers"), 0U);
  EXPECT_EQ(distance("workers", "worker"), 1U);
  EXPECT_EQ(distance("workers", "wOrkers"), 1U);
  EXPECT_EQ(distance("wokrers", "workers"), 1U);
  EXPECT_EQ(distance("kitten", "sitting"), 3U);
  EXPECT_EQ(distance("ab", "ba"), 1U);
  EXPECT_EQ(distance("abc", "cab"), 2U);
  EXPECT_EQ(distance(std::string(32, 'a'), std::string(32, 'b')), 32U);
  EXPECT_EQ(distance(std::string(33, 'a'), "a"), SIZE_MAX);
}

}  // namespace
}  // namespace coshim
