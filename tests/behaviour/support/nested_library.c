// A library that asks for executable stacks: a GNU C nested function whose address is taken.
int nested_sum(int (*apply)(int (*)(int), int), int count, int step);

int nested_sum(int (*apply)(int (*)(int), int), int count, int step) {
  int add_step(int value) {
    return value + step;
  }
  int sum = 0;
  for (int i = 0; i < count; ++i) sum = apply(add_step, sum);
  return sum;
}
