// A process that creates no thread.
int main(void) {
  return 0;
}
