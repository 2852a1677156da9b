//! What concerns a whole warp or block, and control.

use super::{Decode, Decoder};
use crate::isa::{
    Barrier, BarrierFn, BarrierReduce, Factors, IntFn, Op, Reg2, Shuffle, ShuffleFn, Type, Vote,
};
use crate::parse::Operand;

pub(super) fn decode(d: &mut Decoder<'_, '_>) -> Decode {
    match d.statement.base {
        "mma" => mma(d),
        "shfl" => shuffle(d),
        "vote" => vote(d),
        "match" => matching(d),
        "redux" => redux(d),
        "activemask" => {
            d.ty()?;
            Ok(Op::ActiveMask { d: d.word(0)? })
        }
        "bar" | "barrier" => barrier(d),
        "nanosleep" => {
            d.ty()?;
            d.word(0)?;
            Ok(Op::Nop)
        }
        "ret" | "exit" => {
            d.take("uni");
            Ok(Op::Exit)
        }
        _ => Ok(Op::Trap),
    }
}

fn mma(d: &mut Decoder<'_, '_>) -> Decode {
    let is_tf32 = d.take("m16n8k8");
    let shape = ["sync", "aligned", "row", "col"];
    if !shape.into_iter().all(|part| d.take(part)) || !(is_tf32 || d.take("m16n8k16")) {
        return Err("expected `.sync.aligned.m16n8k16.row.col`, or `m16n8k8`".into());
    }
    let factors = match is_tf32 {
        true => tf32(d)?,
        false => halves(d)?,
    };
    let (a, b) = (d.words_list(1)?, d.words_list(2)?);
    Ok(Op::Mma { factors, d: d.words_list(0)?, a, b, c: d.words_list(3)? })
}

fn halves(d: &mut Decoder<'_, '_>) -> Decode<Factors> {
    match [d.ty()?, d.ty()?, d.ty()?, d.ty()?] {
        [Type::F32, Type::Half(b), Type::Half(a), Type::F32] if a == b => Ok(Factors::Half(a)),
        _ => Err("expected f32 sums of f16 or bf16".into()),
    }
}

fn tf32(d: &mut Decoder<'_, '_>) -> Decode<Factors> {
    let is_pair = d.take("tf32") && d.take("tf32");
    match (is_pair, [d.ty()?, d.ty()?]) {
        (true, [Type::F32, Type::F32]) => Ok(Factors::Tf32),
        _ => Err("expected f32 sums of tf32".into()),
    }
}

fn sync(d: &mut Decoder<'_, '_>) -> Decode<()> {
    if d.take("sync") { Ok(()) } else { Err("expected `.sync`".into()) }
}

fn shuffle(d: &mut Decoder<'_, '_>) -> Decode {
    sync(d)?;
    d.ty()?;
    let functions = [
        ("up", ShuffleFn::Up),
        ("down", ShuffleFn::Down),
        ("bfly", ShuffleFn::Butterfly),
        ("idx", ShuffleFn::Index),
    ];
    let f = d.take_any(&functions).ok_or("expected `.up`, `.down`, `.bfly` or `.idx`")?;
    let (to, p) = match *d.operand(0)? {
        Operand::Two(to, p) => (d.word_named(to)?, Some(d.pred_named(p)?)),
        _ => (d.word(0)?, None),
    };
    let (a, b, c) = (d.word(1)?, d.word(2)?, d.word(3)?);
    Ok(Op::Shuffle(Box::new(Shuffle { f, d: to, p, a, b, c, members: d.word(4)? })))
}

fn vote(d: &mut Decoder<'_, '_>) -> Decode {
    sync(d)?;
    d.ty()?;
    let votes =
        [("ballot", Vote::Ballot), ("any", Vote::Any), ("all", Vote::All), ("uni", Vote::Uniform)];
    let f = d.take_any(&votes).ok_or("expected a kind of vote")?;
    let to = if f == Vote::Ballot { Reg2::Word(d.word(0)?) } else { Reg2::Pred(d.pred(0)?) };
    Ok(Op::Vote { f, d: to, p: d.condition(1)?, members: d.word(2)? })
}

fn matching(d: &mut Decoder<'_, '_>) -> Decode {
    sync(d)?;
    let bits = d.ty()?.bits();
    let all = d.take("all");
    if !all && !d.take("any") {
        return Err("expected `.any` or `.all`".into());
    }
    let (to, p) = match *d.operand(0)? {
        Operand::Two(to, p) => (d.word_named(to)?, Some(d.pred_named(p)?)),
        _ => (d.word(0)?, None),
    };
    Ok(Op::Match { all, d: to, p, a: d.reg(1, bits)?, members: d.word(2)? })
}

fn redux(d: &mut Decoder<'_, '_>) -> Decode {
    sync(d)?;
    let signed = d.ty()?.is_signed();
    let functions = [
        ("add", IntFn::Add),
        ("min", if signed { IntFn::MinS } else { IntFn::MinU }),
        ("max", if signed { IntFn::MaxS } else { IntFn::MaxU }),
        ("and", IntFn::And),
        ("or", IntFn::Or),
        ("xor", IntFn::Xor),
    ];
    let f = d.take_any(&functions).ok_or("expected a reduction")?;
    Ok(Op::Redux { f, d: d.word(0)?, a: d.word(1)?, members: d.word(2)? })
}

fn barrier(d: &mut Decoder<'_, '_>) -> Decode {
    d.take("cta");
    d.take("aligned");
    if d.take("warp") {
        sync(d)?;
        return Ok(Op::WarpSync { members: d.word(0)? });
    }
    if d.take("red") {
        return barrier_reduce(d);
    }
    sync(d)?;
    let threads = if d.operands() > 1 { Some(d.word(1)?) } else { None };
    Ok(Op::Barrier(Box::new(Barrier { id: d.word(0)?, threads, reduce: None })))
}

/// `bar.red.popc.u32 d, id, [threads,] p`.
fn barrier_reduce(d: &mut Decoder<'_, '_>) -> Decode {
    d.ty()?;
    let functions = [("and", BarrierFn::And), ("or", BarrierFn::Or), ("popc", BarrierFn::Popc)];
    let f = d.take_any(&functions).ok_or("expected `.and`, `.or` or `.popc`")?;
    let last = d.operands().saturating_sub(1);
    let p = d.condition(last)?;
    let to = if f == BarrierFn::Popc { Reg2::Word(d.word(0)?) } else { Reg2::Pred(d.pred(0)?) };
    let threads = if last > 2 { Some(d.word(2)?) } else { None };
    let reduce = Some(BarrierReduce { f, p, d: to });
    Ok(Op::Barrier(Box::new(Barrier { id: d.word(1)?, threads, reduce })))
}
