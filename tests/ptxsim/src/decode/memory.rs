//! Loads, stores, atomics and copies.

use super::moves::{is_wide, place};
use super::{Decode, Decoder};
use crate::isa::{Address, Atomic, AtomicFn, IntFn, Item, Op, Order, Reg, Scope, Space, Type};
use crate::parse::{Names, Operand};

pub(super) fn decode(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    match d.statement.base {
        "ld" | "ldu" => access(d, names, true),
        "st" => access(d, names, false),
        "atom" | "red" => atomic(d, names),
        "cp" => copy(d, names),
        "ldmatrix" => load_matrix(d, names),
        "prefetch" => prefetch(d, names),
        "griddepcontrol" => grids(d),
        _ => Ok(fence(d)),
    }
}

fn fence(d: &mut Decoder<'_, '_>) -> Op {
    let device = if d.take("gl") { Some(Scope::Device) } else { None };
    let scope = device.or(scope(d)).unwrap_or(Scope::System);
    for modifier in ["sc", "acq_rel"] {
        d.take(modifier);
    }
    Op::Fence(scope)
}

fn prefetch(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    if !d.take("L1") && !d.take("L2") {
        return Err("expected `.L1` or `.L2`".into());
    }
    let is_local = d.take("local");
    d.take("global");
    let at = address(d, names, 0)?;
    Ok(if is_local { Op::Nop } else { Op::Prefetch { at } })
}

/// `griddepcontrol`: those that wait for this grid see nothing before it ends, so telling them to
/// begin changes nothing here.
fn grids(d: &mut Decoder<'_, '_>) -> Decode {
    let kinds = [("wait", Op::WaitForGrids), ("launch_dependents", Op::Nop)];
    for (name, op) in kinds {
        if d.take(name) {
            return Ok(op);
        }
    }
    Err("expected `.wait` or `.launch_dependents`".into())
}

fn space(d: &mut Decoder<'_, '_>) -> Space {
    let spaces = [
        ("global", Space::Global),
        ("const", Space::Global),
        ("shared", Space::Shared),
        ("shared::cta", Space::Shared),
        ("param", Space::Param),
        ("local", Space::Local),
    ];
    d.take_any(&spaces).unwrap_or(Space::Generic)
}

/// What an access promises, and to whom.
fn order(d: &mut Decoder<'_, '_>) -> (Order, Scope) {
    let orders = [
        ("acq_rel", Order::AcquireRelease),
        ("acquire", Order::Acquire),
        ("release", Order::Release),
        ("relaxed", Order::Relaxed),
        ("volatile", Order::Relaxed),
    ];
    let order = d.take_any(&orders).unwrap_or(Order::Weak);
    d.take("weak");
    let order = if d.take("nc") { Order::Constant } else { order };
    (order, scope(d).unwrap_or(Scope::Device))
}

fn scope(d: &mut Decoder<'_, '_>) -> Option<Scope> {
    d.take_any(&[("cta", Scope::Block), ("gpu", Scope::Device), ("sys", Scope::System)])
}

/// Hints that change no result.
fn hints(d: &mut Decoder<'_, '_>) {
    const HINTS: [&str; 14] = [
        "ca",
        "cg",
        "cs",
        "lu",
        "cv",
        "wb",
        "wt",
        "L1::no_allocate",
        "L1::evict_last",
        "L1::evict_first",
        "L1::evict_normal",
        "L2::64B",
        "L2::128B",
        "L2::256B",
    ];
    for hint in HINTS {
        d.take(hint);
    }
}

fn access(d: &mut Decoder<'_, '_>, names: &mut Names<'_>, load: bool) -> Decode {
    let ty = d.ty()?;
    if ty == Type::Pred {
        return Err("predicates are not kept in memory".into());
    }
    let space = space(d);
    let (order, scope) = order(d);
    hints(d);
    let vector = d.take_any(&[("v2", 2), ("v4", 4)]).unwrap_or(1);
    let (list, at) = if load { (0, 1) } else { (1, 0) };
    let regs = d.list(list, if load { ty.bits() } else { ty.bits().min(16) })?;
    if regs.as_slice().len() != vector || ty.bytes() as usize * vector > 16 {
        return Err(format!("{} registers for {vector} elements", regs.as_slice().len()));
    }
    let item = Item { bytes: ty.bytes(), signed: ty.is_signed() };
    let at = address(d, names, at)?;
    if !load && space == Space::Param {
        return Err("parameters cannot be written".into());
    }
    Ok(if load {
        Op::Load { space, item, order, scope, d: regs, at }
    } else {
        Op::Store { space, item, order, scope, s: regs, at }
    })
}

/// Operand `at` in brackets.
pub(super) fn address(
    d: &mut Decoder<'_, '_>,
    names: &mut Names<'_>,
    at: usize,
) -> Decode<Address> {
    let Operand::At { base, offset } = *d.operand(at)? else {
        return Err("expected an address in brackets".into());
    };
    let base = match base {
        None => Reg::Double(d.double_constant(0)?),
        Some(name) => match d.find(name)? {
            Some(slot) if is_wide(slot) => {
                d.declared(&Operand::Name { name, negated: false }, 64)?.0
            }
            Some(_) => Reg::Word(d.word_named(name)?),
            None => place(d, names, name, true)?,
        },
    };
    Ok(Address { base, offset })
}

fn atomic(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    let returns = d.statement.base == "atom";
    let ty = d.ty()?;
    let space = space(d);
    let (order, scope) = match order(d) {
        // Without a word an atomic is relaxed.
        (Order::Weak, scope) => (Order::Relaxed, scope),
        told => told,
    };
    d.take("noftz");
    let f = atomic_function(d, ty)?;
    let first = usize::from(returns);
    let to = if returns { Some(d.reg(0, ty.bits())?) } else { None };
    let at = address(d, names, first)?;
    let a = d.reg(first + 1, ty.bits())?;
    let b = if f == AtomicFn::CompareSwap { d.reg(first + 2, ty.bits())? } else { a };
    Ok(Op::Atomic(Box::new(Atomic { f, space, order, scope, ty, d: to, at, a, b })))
}

fn atomic_function(d: &mut Decoder<'_, '_>, ty: Type) -> Decode<AtomicFn> {
    let signed = ty.is_signed();
    let float = matches!(ty, Type::F32 | Type::F64);
    let functions = [
        ("exch", AtomicFn::Exchange),
        ("cas", AtomicFn::CompareSwap),
        ("inc", AtomicFn::Inc),
        ("dec", AtomicFn::Dec),
        ("add", if float { AtomicFn::FloatAdd } else { AtomicFn::Int(IntFn::Add) }),
        ("min", AtomicFn::Int(if signed { IntFn::MinS } else { IntFn::MinU })),
        ("max", AtomicFn::Int(if signed { IntFn::MaxS } else { IntFn::MaxU })),
        ("and", AtomicFn::Int(IntFn::And)),
        ("or", AtomicFn::Int(IntFn::Or)),
        ("xor", AtomicFn::Int(IntFn::Xor)),
    ];
    let f = d.take_any(&functions).ok_or("this atomic is not implemented")?;
    let sound = ty.bits() >= 32
        && !matches!(ty, Type::HalfPair(_))
        && (!float || matches!(f, AtomicFn::FloatAdd | AtomicFn::Exchange));
    if sound { Ok(f) } else { Err("this atomic is not implemented".into()) }
}

fn copy(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    if !d.take("async") {
        return Err("only `cp.async` is implemented".into());
    }
    if d.take("commit_group") {
        return Ok(Op::CopyCommit);
    }
    if d.take("wait_all") {
        return Ok(Op::CopyWaitAll);
    }
    if d.take("wait_group") {
        let Operand::Integer(groups) = *d.operand(0)? else {
            return Err("expected a number of groups".into());
        };
        return Ok(Op::CopyWait(groups as u32));
    }
    let whole = d.has("cg");
    hints(d);
    if !(d.take("shared") || d.take("shared::cta")) || !d.take("global") {
        return Err("expected `.shared.global`".into());
    }
    let Operand::Integer(bytes @ (4 | 8 | 16)) = *d.operand(2)? else {
        return Err("expected 4, 8 or 16 bytes".into());
    };
    if whole && bytes != 16 {
        return Err("`.cg` copies 16 bytes only".into());
    }
    let size = if d.operands() > 3 { d.word(3)? } else { d.word_constant(bytes as u32)? };
    let (to, from) = (address(d, names, 0)?, address(d, names, 1)?);
    Ok(Op::CopyAsync { bytes: bytes as u32, to, from, size })
}

fn load_matrix(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    let known = d.take("sync") & d.take("aligned") & d.take("m8n8") & d.take("b16");
    let shared = d.take("shared") || d.take("shared::cta");
    if !known || !shared {
        return Err("expected `.sync.aligned.m8n8` of `.shared.b16`".into());
    }
    let transposed = d.take("trans");
    let count = d.take_any(&[("x1", 1), ("x2", 2), ("x4", 4)]).ok_or("expected a count")?;
    let regs = d.list(0, 32)?;
    if regs.as_slice().len() != count {
        return Err(format!("{} registers for {count} matrices", regs.as_slice().len()));
    }
    Ok(Op::LoadMatrix { transposed, d: regs, at: address(d, names, 1)? })
}
