// What a descriptor is and whom it leads to, for people.
#pragma once

namespace coshim {

struct DescriptorText {
  char kind[16];    // tcp, udp, unix, socket, pipe, file, eventfd, ...; empty: not open
  char local[128];  // address; empty: unknown
  char peer[128];
};
void describe_descriptor(int fd, DescriptorText* text);

}  // namespace coshim
