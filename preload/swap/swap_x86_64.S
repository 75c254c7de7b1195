/* The context switch for x86-64, System V ABI.
 *
 *  caller-saved (the compiler has them safe at the call)   callee-saved (ours to keep)
 *  rax rcx rdx rsi rdi r8 r9 r10 r11, xmm*, x87 stack      rbx rbp r12 r13 r14 r15 rsp, MXCSR, x87 control word
 *
 *  stack after the save, and what `load` points at:
 *
 *      load ->  +0   MXCSR | x87 control word
 *               +8   r15
 *               +16  r14
 *               +24  r13        (first frame: the entry's argument)
 *               +32  r12        (first frame: the entry)
 *               +40  rbx
 *               +48  rbp
 *               +56  return address     (first frame: coshim_swap_start)
 *
 *  The new stack is entered by `ret`: the return-stack predictor remembers the other coroutine's calls, and those are the
 *  same ones where both switched by the same path, as they nearly always do. A jump in its place would leave the
 *  predictor one call behind, and every return after it would be mispredicted: 15 ns of a switch by sched_yield().
 *  FS base is loaded last: from then on thread-local addresses are the new coroutine's.
 *  SwapFrame in swap.h mirrors this layout; tests/unit checks the two against each other.
 */
        .text

        .macro SAVE
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        .endm

        .macro RESTORE
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .endm

        .globl  coshim_swap
        .hidden coshim_swap
        .type   coshim_swap, @function
        .p2align 4
coshim_swap:
        SAVE
        wrfsbase %rdx
        RESTORE
        .size   coshim_swap, . - coshim_swap

        .globl  coshim_swap_by_system_call
        .hidden coshim_swap_by_system_call
        .type   coshim_swap_by_system_call, @function
        .p2align 4
coshim_swap_by_system_call:
        SAVE
        movq    %rdx, %rsi
        movl    $0x1002, %edi           /* ARCH_SET_FS, arch_prctl(2) */
        movl    $158, %eax              /* SYS_arch_prctl */
        syscall
        RESTORE
        .size   coshim_swap_by_system_call, . - coshim_swap_by_system_call

        /* The same by way of another stack, for stacks that are copied: what is to be loaded is known only when
         * `exchange` has returned, in rax (stack pointer) and rdx (FS base). Meanwhile there is nothing to unwind. */
        .macro EXCHANGE
        .cfi_remember_state
        .cfi_undefined rip
        movq    %rcx, %rdi
        callq   *%rdx
        .cfi_restore_state
        movq    %rax, %rsp
        .endm

        .globl  coshim_swap_through
        .hidden coshim_swap_through
        .type   coshim_swap_through, @function
        .p2align 4
coshim_swap_through:
        SAVE
        EXCHANGE
        wrfsbase %rdx
        RESTORE
        .size   coshim_swap_through, . - coshim_swap_through

        .globl  coshim_swap_through_by_system_call
        .hidden coshim_swap_through_by_system_call
        .type   coshim_swap_through_by_system_call, @function
        .p2align 4
coshim_swap_through_by_system_call:
        SAVE
        EXCHANGE
        movq    %rdx, %rsi
        movl    $0x1002, %edi           /* ARCH_SET_FS, arch_prctl(2) */
        movl    $158, %eax              /* SYS_arch_prctl */
        syscall
        RESTORE
        .size   coshim_swap_through_by_system_call, . - coshim_swap_through_by_system_call

        /* The first frame of every coroutine. An undefined return address is how DWARF says "the outermost frame". */
        .globl  coshim_swap_start
        .hidden coshim_swap_start
        .type   coshim_swap_start, @function
        .p2align 4
        .cfi_startproc
        .cfi_undefined rip
        nop                             /* unwinders look up the return address minus one */
coshim_swap_start:
        xorl    %ebp, %ebp
        movq    %r13, %rdi
        callq   *%r12
        ud2
        .cfi_endproc
        .size   coshim_swap_start, . - coshim_swap_start

        /* The personality's only work is to be told (runtime/thread/handler_call.cpp): it needs no table. */
        .globl  coshim_call_on_stack
        .hidden coshim_call_on_stack
        .type   coshim_call_on_stack, @function
        .p2align 4
coshim_call_on_stack:
        .cfi_startproc
        .cfi_personality 0x1b, coshim_left_by_unwinding /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register rbp
        testq   %rdi, %rdi
        cmovzq  %rsp, %rdi
        movq    %rdi, %rsp
        andq    $-16, %rsp
        movq    %rsi, %rax
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        callq   *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa rsp, 8
        ret
        .cfi_endproc
        .size   coshim_call_on_stack, . - coshim_call_on_stack

        .section .note.GNU-stack, "", @progbits
