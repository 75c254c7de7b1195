// <fstream> on a FIFO and on a pipe: a reading thread blocks in the stream until another thread writes.
#include "check.h"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <thread>

int main() {
  CHECK(mkfifo("fifo", 0600) == 0);
  std::string read_back;
  std::thread reader([&] {
    std::ifstream stream("fifo");  // waits for the writer
    std::string line;
    while (std::getline(stream, line)) read_back += line + "|";
  });
  std::thread writer([] {
    std::ofstream stream("fifo");
    for (int i = 0; i < 5; ++i) {
      stream << "line " << i << std::endl;
      nap(2);
    }
  });
  writer.join();
  reader.join();
  SAY("%s", read_back.c_str());
}
