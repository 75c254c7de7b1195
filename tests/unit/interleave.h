// Runs a small model in every order of its threads' steps. A model is a copyable struct without padding that
// matters, with
//   static constexpr int kThreads;
//   bool step(int thread);   // one atomic step; false: this thread is done or cannot go on now
//   const char* broken() const;   // what is wrong in this state, or null
//   bool finished() const;   // may everybody stand still here?
// Every reachable state is visited once, so there is no bound on preemptions. Memory is sequentially
// consistent: the words in question are changed by read-modify-writes or behind fences.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace coshim {

struct Exploration {
  size_t states = 0;
  size_t ends = 0;      // states where nobody can go on
  std::string problem;  // empty: none
};

template <typename Model>
Exploration explore(const Model& start) {
  Exploration result;
  std::set<std::string> seen;
  std::vector<Model> open{start};
  auto bytes = [](const Model& model) {
    return std::string(reinterpret_cast<const char*>(&model), sizeof(model));
  };
  seen.insert(bytes(start));
  while (!open.empty()) {
    Model model = open.back();
    open.pop_back();
    ++result.states;
    if (const char* broken = model.broken()) {
      result.problem = broken;
      return result;
    }
    bool moved = false;
    for (int thread = 0; thread < Model::kThreads; ++thread) {
      Model next = model;
      if (!next.step(thread)) continue;
      moved = true;
      if (seen.insert(bytes(next)).second) open.push_back(next);
    }
    if (moved) continue;
    ++result.ends;
    if (!model.finished()) {
      result.problem = "everybody waits";
      return result;
    }
  }
  return result;
}

}  // namespace coshim
