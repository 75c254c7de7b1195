// The foundations in runtime/base: list, spin lock, text formatting, the log line, clock conversions.
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/spin_lock.h"

namespace coshim {
namespace {

// ---- list

struct Item {
  explicit Item(int number) : number(number) {}
  int number;
  ListLink<Item> link;
  ListLink<Item> other_link;
};
using ItemList = List<Item, &Item::link>;
using OtherList = List<Item, &Item::other_link>;

template <typename AnyList>
std::vector<int> numbers(const AnyList& list) {
  std::vector<int> result;
  for (const Item* item = list.front(); item != nullptr; item = AnyList::next(item)) {
    result.push_back(item->number);
  }
  return result;
}

TEST(List, KeepsTheOrderOfPushes) {
  Item one(1), two(2), three(3);
  ItemList list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  list.push_back(&two);
  list.push_back(&three);
  list.push_front(&one);
  EXPECT_FALSE(list.empty());
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2, 3}));
}

TEST(List, PushFrontOnAnEmptyListSetsBothEnds) {
  Item one(1), two(2);
  ItemList list;
  list.push_front(&one);
  list.push_back(&two);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2}));
}

TEST(List, RemovesFromAnywhere) {
  Item one(1), two(2), three(3), four(4);
  ItemList list;
  for (Item* item : {&one, &two, &three, &four}) list.push_back(item);
  list.remove(&two);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3, 4}));
  list.remove(&four);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3}));
  list.remove(&one);
  EXPECT_EQ(numbers(list), (std::vector<int>{3}));
  list.push_back(&two);  // the tail is right after the removals
  EXPECT_EQ(numbers(list), (std::vector<int>{3, 2}));
  list.remove(&three);
  list.remove(&two);
  EXPECT_TRUE(list.empty());
  list.push_back(&four);
  EXPECT_EQ(numbers(list), (std::vector<int>{4}));
}

TEST(List, PopsFromTheFrontUntilEmpty) {
  Item one(1), two(2);
  ItemList list;
  list.push_back(&one);
  list.push_back(&two);
  EXPECT_EQ(list.pop_front(), &one);
  EXPECT_EQ(one.link.next, nullptr);
  EXPECT_EQ(list.pop_front(), &two);
  EXPECT_EQ(list.pop_front(), nullptr);
  EXPECT_TRUE(list.empty());
}

TEST(List, AnItemStandsInTwoListsByTwoLinks) {
  Item one(1), two(2);
  ItemList list;
  OtherList other;
  list.push_back(&one);
  list.push_back(&two);
  other.push_back(&two);
  other.push_back(&one);
  list.remove(&one);
  EXPECT_EQ(numbers(list), (std::vector<int>{2}));
  EXPECT_EQ(numbers(other), (std::vector<int>{2, 1}));
}

TEST(List, ClearForgetsTheItems) {
  Item one(1);
  ItemList list;
  list.push_back(&one);
  list.clear();
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.pop_front(), nullptr);
}

// ---- spin lock

TEST(SpinLock, TryLockFailsWhileHeld) {
  SpinLock lock;
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.reset();
  EXPECT_TRUE(lock.try_lock());
}

TEST(SpinLock, ExcludesThreads) {
  constexpr int kThreads = 8, kRounds = 50000;
  SpinLock lock;
  long counter = 0;  // plain: an update is lost if two are inside
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        SpinGuard guard(lock);
        counter = counter + 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, long{kThreads} * kRounds);
}

// Long enough held that the spinners give up spinning and sleep in the futex: each must be woken in its turn.
TEST(SpinLock, WakesThoseWhoWentToSleep) {
  constexpr int kThreads = 8;
  SpinLock lock;
  std::atomic<int> started{0};
  int inside = 0;
  std::vector<std::thread> threads;
  lock.lock();
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      started.fetch_add(1);
      SpinGuard guard(lock);
      usleep(1000);
      ++inside;
    });
  }
  while (started.load() < kThreads) usleep(1000);
  usleep(50000);
  EXPECT_EQ(inside, 0);
  lock.unlock();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(inside, kThreads);
}

// ---- format_text

template <typename... Values>
std::string format(const char* text, Values... values) {
  char buffer[256];
  size_t length = format_text(buffer, sizeof(buffer), text, values...);
  EXPECT_EQ(length, strlen(buffer));
  return buffer;
}

TEST(FormatText, AgreesWithPrintf) {
  EXPECT_EQ(format("plain"), "plain");
  EXPECT_EQ(format("%s and %s", "a", ""), "a and ");
  EXPECT_EQ(format("%d %d %d", 0, INT_MAX, INT_MIN), "0 2147483647 -2147483648");
  EXPECT_EQ(format("%u %x", UINT_MAX, 0xdeadbeefU), "4294967295 deadbeef");
  EXPECT_EQ(format("%ld %ld", LONG_MAX, LONG_MIN), "9223372036854775807 -9223372036854775808");
  EXPECT_EQ(format("%lu %lx", ULONG_MAX, ULONG_MAX), "18446744073709551615 ffffffffffffffff");
  EXPECT_EQ(format("%zu", size_t{1} << 40), "1099511627776");
  EXPECT_EQ(format("%c%c%%", 'x', 'y'), "xy%");
  EXPECT_EQ(format("%p", reinterpret_cast<void*>(uintptr_t{0x7f00})), "0x7f00");
  EXPECT_EQ(format("[%5d] [%05d] [%05d] [%2d]", 42, 42, -42, 12345), "[   42] [00042] [-0042] [12345]");
  EXPECT_EQ(format("[%016lx]", 0xabcUL), "[0000000000000abc]");
}

TEST(FormatText, ShowsANullString) {
  EXPECT_EQ(format("%s", static_cast<const char*>(nullptr)), "(null)");
}

TEST(FormatText, CutsAtTheEndOfTheBuffer) {
  char buffer[8];
  memset(buffer, '#', sizeof(buffer));
  EXPECT_EQ(format_text(buffer, 5, "%s", "abcdefgh"), 4U);
  EXPECT_STREQ(buffer, "abcd");
  EXPECT_EQ(std::string(buffer + 5, 3), "###");
  EXPECT_EQ(format_text(buffer, 1, "%d", 7), 0U);
  EXPECT_EQ(buffer[0], '\0');
  buffer[0] = '#';
  EXPECT_EQ(format_text(buffer, 0, "%d", 7), 0U);
  EXPECT_EQ(buffer[0], '#');
}

TEST(FormatText, StopsAtAFormatItDoesNotKnow) {
  char buffer[32];
  const char* volatile unknown = "before %q after";  // volatile: out of the compiler's format check
  EXPECT_EQ(format_text(buffer, sizeof(buffer), unknown, 1), 7U);
  EXPECT_STREQ(buffer, "before ");
}

// ---- log

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe2(pipe_, O_NONBLOCK), 0);
    saved_fd_ = g_log_fd;
    saved_level_ = g_log_level;
    g_log_fd = pipe_[1];
  }
  void TearDown() override {
    g_log_fd = saved_fd_;
    g_log_level = saved_level_;
    close(pipe_[0]);
    close(pipe_[1]);
  }
  std::string written() {
    char buffer[4096];
    ssize_t length = read(pipe_[0], buffer, sizeof(buffer));
    return length > 0 ? std::string(buffer, static_cast<size_t>(length)) : std::string();
  }

 private:
  int pipe_[2];
  int saved_fd_ = -1;
  LogLevel saved_level_{};
};

TEST_F(LogTest, WritesOneLineWithItsLevel) {
  g_log_level = LogLevel::debug;
  COSHIM_LOG(warn, "number %d", 5);
  EXPECT_EQ(written(), "coshim: warn: number 5\n");
  COSHIM_LOG(debug, "%s", "text");
  EXPECT_EQ(written(), "coshim: debug: text\n");
}

TEST_F(LogTest, IsSilentBelowTheLevel) {
  g_log_level = LogLevel::warn;
  COSHIM_LOG(info, "not wanted");
  EXPECT_EQ(written(), "");
  COSHIM_LOG(error, "wanted");
  EXPECT_EQ(written(), "coshim: error: wanted\n");
}

TEST_F(LogTest, ALongTextIsStillOneLine) {
  std::string text(2000, 'x');
  COSHIM_LOG(error, "%s", text.c_str());
  std::string line = written();
  EXPECT_LE(line.size(), 512U);
  EXPECT_GT(line.size(), 500U);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST_F(LogTest, KeepsErrno) {
  g_log_fd = -1;
  errno = ENOENT;
  COSHIM_LOG(error, "nowhere to go");
  EXPECT_EQ(errno, ENOENT);
}

TEST(CheckDeathTest, ABrokenInvariantAborts) {
  EXPECT_EXIT(
      {
        g_log_fd = 2;
        COSHIM_CHECK(1 + 1 == 3);
      },
      ::testing::KilledBySignal(SIGABRT), "internal check failed: 1 \\+ 1 == 3 at ");
}

// ---- clock

constexpr Nanoseconds kSecond = 1000000000;

TEST(Clock, TimespecToNanoseconds) {
  EXPECT_EQ(to_nanoseconds({0, 0}), 0);
  EXPECT_EQ(to_nanoseconds({1, 5}), kSecond + 5);
  EXPECT_EQ(to_nanoseconds({-1, 0}), -kSecond);
  EXPECT_EQ(to_nanoseconds({9223372035, 999999999}), 9223372035999999999);
}

TEST(Clock, TimespecToNanosecondsSaturates) {
  EXPECT_EQ(to_nanoseconds({9223372036, 0}), kForever);
  EXPECT_EQ(to_nanoseconds({LONG_MAX, 999999999}), kForever);
  EXPECT_EQ(to_nanoseconds({LONG_MIN, 0}), -kForever);
}

TEST(Clock, NanosecondsToTimespec) {
  timespec time = to_timespec(3 * kSecond + 7);
  EXPECT_EQ(time.tv_sec, 3);
  EXPECT_EQ(time.tv_nsec, 7);
  time = to_timespec(-5);
  EXPECT_EQ(time.tv_sec, 0);
  EXPECT_EQ(time.tv_nsec, 0);
  time = to_timespec(kForever);
  EXPECT_EQ(time.tv_sec, 9223372036);
  EXPECT_EQ(time.tv_nsec, 854775807);
}

TEST(Clock, ValidTimespec) {
  EXPECT_TRUE(valid_timespec({0, 0}));
  EXPECT_TRUE(valid_timespec({-1, 999999999}));
  EXPECT_FALSE(valid_timespec({0, 1000000000}));
  EXPECT_FALSE(valid_timespec({0, -1}));
}

TEST(Clock, DeadlineAfterSaturatesAndNeverLiesInThePast) {
  EXPECT_EQ(deadline_after(kForever), kForever);
  EXPECT_EQ(deadline_after(kForever - 1), kForever);
  Nanoseconds before = monotonic_now();
  Nanoseconds now = deadline_after(0), negative = deadline_after(-kForever), later = deadline_after(kSecond);
  Nanoseconds after = monotonic_now();
  EXPECT_GE(now, before);
  EXPECT_LE(now, after);
  EXPECT_GE(negative, before);
  EXPECT_LE(negative, after);
  EXPECT_GE(later, before + kSecond);
  EXPECT_LE(later, after + kSecond);
}

TEST(Clock, ToMonotonicOfTheSameClockIsTheIdentity) {
  EXPECT_EQ(to_monotonic(CLOCK_MONOTONIC, {12, 34}), 12 * kSecond + 34);
  EXPECT_EQ(to_monotonic(CLOCK_MONOTONIC, {LONG_MAX, 0}), kForever);
}

TEST(Clock, ToMonotonicOfTheWallClock) {
  Nanoseconds before = monotonic_now();
  timespec when = to_timespec(clock_now(CLOCK_REALTIME) + 3600 * kSecond);
  Nanoseconds deadline = to_monotonic(CLOCK_REALTIME, when);
  Nanoseconds after = monotonic_now();
  // The wall clock may be stepped or slewed meanwhile: a second either way.
  EXPECT_GE(deadline, before + 3599 * kSecond);
  EXPECT_LE(deadline, after + 3601 * kSecond);
}

TEST(Clock, ToMonotonicOfAPastOrEndlessTime) {
  EXPECT_EQ(to_monotonic(CLOCK_REALTIME, {LONG_MAX, 0}), kForever);
  EXPECT_EQ(to_monotonic(CLOCK_REALTIME, {9223372035, 0}) > monotonic_now(), true);
  // Past: any deadline that has passed. Negative seconds are legal there (pthread_cond_timedwait: ETIMEDOUT
  // at once).
  EXPECT_LE(to_monotonic(CLOCK_REALTIME, {1, 0}), monotonic_now());
  EXPECT_LE(to_monotonic(CLOCK_REALTIME, {-1, 0}), monotonic_now());
  EXPECT_LE(to_monotonic(CLOCK_REALTIME, {LONG_MIN, 0}), monotonic_now());
  EXPECT_LE(to_monotonic(CLOCK_REALTIME, {-9223372035, 0}), monotonic_now());
}

TEST(Clock, MonotonicNeverGoesBack) {
  Nanoseconds last = monotonic_now();
  for (int i = 0; i < 100000; ++i) {
    Nanoseconds now = monotonic_now();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_EQ(clock_now(-12345), 0);  // no such clock
}

TEST(Clock, CalibratesTheTickCounter) {
  g_ticks_per_microsecond = 0;
  calibrate_clock();
  EXPECT_GT(g_ticks_per_microsecond, 0U);
  uint64_t first = tick_counter();
  usleep(1000);
  EXPECT_GT(tick_counter(), first);
}

}  // namespace
}  // namespace coshim
