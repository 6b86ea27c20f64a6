#include "proxy/loop/left_behind.h"
#include "proxy/run/commands.h"

#include <unistd.h>

int main(int argc, char** argv) {
    const int code = nearhop::run::command_line(argc, argv);
    if (nearhop::loop::any_left_behind()) ::_exit(code);
    return code;
}
