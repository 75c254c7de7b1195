# cpack -G DEB: the library, the launcher, manual pages, gdb extension, completion, a drop-in for systemd, documents.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME coshim)
set(CPACK_PACKAGE_CONTACT "coshim developers <coshim@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "threads of unmodified programs as coroutines, by preload")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"LD_PRELOAD=libcoshim.so runs an unmodified, blocking, thread-per-connection
program with its threads as stackful coroutines on a few hidden kernel threads.
The launcher coshim starts programs under it and looks inside them.")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.36)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS gdb)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/triggers)  # ldconfig: found by its bare name
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
