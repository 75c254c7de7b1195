// An intrusive doubly linked list: no allocation, constant-time removal from the middle. Not thread-safe:
// each list has a lock of its owner's.
#pragma once

#include <stddef.h>

namespace coshim {

template <typename T>
struct ListLink {
  T* next = nullptr;
  T* previous = nullptr;
};

template <typename T, ListLink<T> T::*Link>
class List {
 public:
  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }
  static T* next(const T* item) { return (item->*Link).next; }

  void push_back(T* item) {
    (item->*Link) = {nullptr, tail_};
    (tail_ != nullptr ? (tail_->*Link).next : head_) = item;
    tail_ = item;
  }
  void push_front(T* item) {
    (item->*Link) = {head_, nullptr};
    (head_ != nullptr ? (head_->*Link).previous : tail_) = item;
    head_ = item;
  }
  T* pop_front() {
    T* item = head_;
    if (item != nullptr) remove(item);
    return item;
  }
  void remove(T* item) {
    ListLink<T>& link = item->*Link;
    (link.previous != nullptr ? (link.previous->*Link).next : head_) = link.next;
    (link.next != nullptr ? (link.next->*Link).previous : tail_) = link.previous;
    link = {};
  }
  void clear() { head_ = tail_ = nullptr; }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace coshim
