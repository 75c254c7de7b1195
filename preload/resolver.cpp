// Names: hosts, services, users, groups, and the system log. What libc does inside itself (nss modules,
// /etc/hosts, DNS over sockets, nscd) cannot be hooked by name, so the kernel thread does it (DESIGN §9).
#include "preload/region.h"

namespace coshim {

COSHIM_REGION(getaddrinfo, true)
COSHIM_REGION(getnameinfo, true)
COSHIM_REGION(gethostbyname, true)
COSHIM_REGION(gethostbyname2, true)
COSHIM_REGION(gethostbyaddr, true)
COSHIM_REGION(gethostbyname_r, true)
COSHIM_REGION(gethostbyname2_r, true)
COSHIM_REGION(gethostbyaddr_r, true)
COSHIM_REGION(gethostent_r, false)
COSHIM_REGION(gethostent, false)
COSHIM_REGION(getaddrinfo_a, false)
COSHIM_REGION(gai_suspend, true)
COSHIM_REGION(res_query, true)
COSHIM_REGION(res_search, true)
COSHIM_REGION(res_querydomain, true)
COSHIM_REGION(res_send, true)
COSHIM_REGION(res_nquery, true)
COSHIM_REGION(res_nsearch, true)
COSHIM_REGION(res_nquerydomain, true)
COSHIM_REGION(res_nsend, true)
COSHIM_REGION(getservbyname, false)
COSHIM_REGION(getservbyport, false)
COSHIM_REGION(getservbyname_r, false)
COSHIM_REGION(getservbyport_r, false)
COSHIM_REGION(getpwnam, false)
COSHIM_REGION(getpwuid, false)
COSHIM_REGION(getpwnam_r, false)
COSHIM_REGION(getpwuid_r, false)
COSHIM_REGION(getgrnam, false)
COSHIM_REGION(getgrgid, false)
COSHIM_REGION(getgrnam_r, false)
COSHIM_REGION(getgrgid_r, false)
COSHIM_REGION(initgroups, false)
COSHIM_REGION(getgrouplist, false)
COSHIM_REGION(vsyslog, false)
COSHIM_REGION(__vsyslog_chk, false)
COSHIM_REGION(openlog, false)

HOOK(void, syslog, (int priority, const char* format, ...)) {
  va_list arguments;
  va_start(arguments, format);
  hook_vsyslog(priority, format, arguments);
  va_end(arguments);
}

HOOK(void, __syslog_chk, (int priority, int flag, const char* format, ...)) {
  va_list arguments;
  va_start(arguments, format);
  hook___vsyslog_chk(priority, flag, format, arguments);
  va_end(arguments);
}

}  // namespace coshim
